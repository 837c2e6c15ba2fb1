"""One suite over every modality: what `types.Modality` and `types.Stateful` promise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unalike import lookup
from unalike.data import count, take
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidInput, NotFitted
from unalike.modalities import MODALITIES
from unalike.modalities.imagefiles import Images, Item
from unalike.modalities.textfiles import Texts
from unalike.records import Records
from unalike.scorers.build import build_scorer
from unalike.seeding import RowGenerator, derive
from unalike.types import Branch, InTime, Modality, Schema, Stateful, View


@dataclass(frozen=True)
class Case:
    """Samples of one kind, and some that a fitted modality must refuse."""

    name: str
    make: Callable[[int], Any]
    foreign: Any
    settings: Mapping[str, Any] = field(default_factory=dict)


def numbers(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(n, 4))


def frame(n: int) -> pd.DataFrame:
    colors = np.random.default_rng(1).choice(["red", "blue", "green"], n)
    table = pd.DataFrame(numbers(n), columns=list("abcd")).assign(color=colors, ok=numbers(n)[:, 0] > 0)
    table.loc[:: max(n // 3, 1), "b"] = np.nan
    return table


def dated(n: int) -> pd.DataFrame:
    when = pd.date_range("2024-01-01", periods=n, freq="37h").where(numbers(n)[:, 0] < 1.0)
    took = pd.to_timedelta(numbers(n)[:, 1], unit="h")
    return pd.DataFrame(
        {
            "when": when,
            "took": took,
            "risk": pd.Categorical(["low", "high"] * (n // 2) + ["low"] * (n % 2), ordered=True),
        }
    )


def grey(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (n, 16, 12)).astype(np.uint8)


def colour(n: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.random((int(side), 14, 3)) for side in rng.integers(10, 20, n)]


class Pictures:
    """A map-style data set of images and labels."""

    def __init__(self, n: int) -> None:
        self.images = colour(n)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[np.ndarray[Any, Any], int]:
        return self.images[row], 0


def record(n: int) -> np.ndarray[Any, Any]:
    return numbers(n)[:, :2].cumsum(axis=0)


def record_with_gaps(n: int) -> np.ndarray[Any, Any]:
    values = record(n)
    values[1::7, 0] = np.nan
    values[n // 2 : n // 2 + 3] = np.nan
    return values


def hosts(n: int) -> pd.DataFrame:
    rows = pd.DataFrame(record(n), columns=["load", "heat"])
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) // 3 * 5, unit="min")
    return rows.assign(when=when, host=[f"h{number % 3}" for number in range(n)])


def sentences(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = ["pump", "is", "warm", "today", "泵", "温度", "正常", "👩‍🔧", "àla", "17"]
    return [" ".join(rng.choice(words, rng.integers(3, 40))) + f" {number}" for number in range(n)]


def tickets(n: int) -> pd.DataFrame:
    return pd.DataFrame({"body": sentences(n), "ticket": [f"t{number}" for number in range(n)], "day": range(n)})


ROLES = {"time": "when", "entity": "host"}
CASES = {
    "table of numbers": Case("table", numbers, numbers(3)[:, :2]),
    "table with categories": Case("table", frame, frame(3)[["a", "b"]]),
    "table with dates": Case("table", dated, frame(3)),
    "grey images": Case("image", grey, np.zeros((3, 16, 12, 3))),
    "colour images of many sizes": Case("image", colour, [np.zeros((8, 8, 4))]),
    "a data set of images": Case("image", Pictures, [np.zeros((8, 8, 4))]),
    "texts": Case("text", sentences, [3, 4], {"part": 64}),
    "a column of texts": Case("text", tickets, numbers(3), {"column": "body", "id": "ticket", "mask": "log"}),
    "one record": Case("series", record, np.zeros((9, 3)), {"window": 6}),
    "a record with gaps": Case("series", record_with_gaps, np.zeros((9, 3)), {"window": 6}),
    "records of hosts": Case(
        "series", hosts, hosts(9).rename(columns={"load": "a", "heat": "b"}), {"window": 6} | ROLES
    ),
}
N = 24


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def new(case: Case) -> Any:
    return lookup.named("modality", MODALITIES, case.name)(**case.settings)


def fitted(case: Case) -> tuple[Any, Any]:
    modality = new(case)
    X = modality.check(case.make(N))
    assert modality.fit(X) is modality
    return modality, X


def parts_of(modality: Any, X: Any) -> torch.Tensor:
    """The tensors of all parts of checked samples."""
    tensors: torch.Tensor = modality.tensors(modality.cut(X)[0])
    return tensors


def spans(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``(n_parts, 2)``: the first sample that each part covers, and the one after the last."""
    return owner if owner.ndim == 2 else np.stack([owner, owner + 1], axis=1)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Item):
        return same(one.image(), other.image())
    if isinstance(one, Pictures):
        return same(one.images, other.images)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Records):
        pairs = zip(one.segments, other.segments, strict=True)
        return all(same(a.values, b.values) and (a.entity, a.start) == (b.entity, b.start) for a, b in pairs)
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, Texts):
        return one.items == other.items and same(one.rows, other.rows) and same(one.names, other.names)
    if isinstance(one, Images):
        return same(one.items, other.items) and same(one.rows, other.rows)
    return np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f")


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether tensors are, with missing steps of series in the same places."""
    return same(one.numpy(), other.numpy())


def test_every_modality_has_a_case() -> None:
    assert {case.name for case in CASES.values()} == set(MODALITIES)


def test_it_has_the_shape_of_the_protocols(case: Case) -> None:
    modality, _ = fitted(case)
    assert isinstance(modality, Modality)
    assert isinstance(modality, Stateful)
    assert modality.name == case.name


def test_settings_are_a_dataclass_and_learned_values_end_in_an_underscore(case: Case) -> None:
    assert is_dataclass(new(case))
    modality, _ = fitted(case)
    assert new(case) == modality
    learned = set(vars(modality)) - {field.name for field in fields(modality)}
    assert learned
    assert all(name.endswith("_") for name in learned)


def test_checking_gives_all_samples_and_twice_is_once(case: Case) -> None:
    modality = new(case)
    X = modality.check(case.make(N))
    assert count(X) == N
    assert same(X, modality.check(X))
    modality.fit(X)
    assert same(X, modality.check(X))
    assert same(take(X, np.arange(3)), modality.check(take(X, np.arange(3))))


def test_checking_and_fitting_leave_the_samples_as_they_were(case: Case) -> None:
    given = case.make(N)
    kept = copy.deepcopy(given)
    modality = new(case)
    modality.fit(modality.check(given))
    parts_of(modality, modality.check(given)).zero_()
    assert same(given, kept)


def test_nothing_and_foreign_samples_are_refused(case: Case) -> None:
    modality, X = fitted(case)
    with pytest.raises(InvalidInput, match="at least one"):
        modality.check(take(X, np.arange(0)))
    with pytest.raises(InvalidInput, match=r"fit|expecting|must be a text|no column"):
        parts_of(modality, modality.check(case.foreign))


def test_parts_know_their_owners(case: Case) -> None:
    modality, X = fitted(case)
    parts, owner = modality.cut(X)
    assert owner.dtype == np.int64
    assert owner.shape in ((count(parts),), (count(parts), 2))
    covered = [sample for first, end in spans(owner).tolist() for sample in range(first, end)]
    assert set(covered) == set(range(N))


def test_tensors_have_the_shape_of_the_schema(case: Case) -> None:
    modality, X = fitted(case)
    parts, _ = modality.cut(X)
    tensors = modality.tensors(parts)
    assert isinstance(modality.schema, Schema)
    assert tensors.dtype == (torch.int32 if case.name == "text" else torch.float32)
    # Missing steps of series stay missing; nothing is infinite.
    assert not (tensors.isinf() if case.name == "series" else ~tensors.isfinite()).any()
    assert tensors.shape[0] == count(parts)
    assert all(size in (-1, found) for size, found in zip(modality.schema.shape, tensors.shape[1:], strict=True))


def test_tensors_of_some_parts_are_rows_of_the_whole(case: Case) -> None:
    modality, X = fitted(case)
    parts, _ = modality.cut(X)
    whole = modality.tensors(parts)
    n = count(parts)
    for rows in ([0], [n - 1, 3, 3], list(range(n // 5, n - n // 6))):
        assert equal(modality.tensors(take(parts, np.array(rows))), whole[rows])


def test_tensors_share_no_memory(case: Case) -> None:
    modality, X = fitted(case)
    first = parts_of(modality, X)
    kept = first.clone()
    first.zero_()
    assert equal(parts_of(modality, X), kept)


def test_joined_scores_are_one_per_sample_and_a_part_moves_only_what_it_covers(case: Case) -> None:
    modality, X = fitted(case)
    _, owner = modality.cut(X)
    scores = np.linspace(-1.0, 5.0, len(owner))
    joined = modality.join(scores, owner, N)
    assert joined.shape == (N,)
    raised = modality.join(np.where(np.arange(len(owner)) == 4, scores + 10.0, scores), owner, N)
    moved = np.arange(*spans(owner)[4])
    assert np.flatnonzero(raised != joined).tolist() == moved.tolist()
    assert (raised[moved] > joined[moved]).all()


def test_ids_name_the_samples(case: Case) -> None:
    modality, X = fitted(case)
    ids = modality.ids(X)
    assert isinstance(ids, np.ndarray)
    assert ids.shape == (N,)
    # Steps of two records may be at one time.
    records = modality.timeline(X)[0].tolist() if isinstance(modality, InTime) else [""] * N
    assert len(set(zip(records, ids.tolist(), strict=True))) == N
    if isinstance(X, pd.DataFrame):
        assert modality.ids(take(X, np.array([5, 2]))).tolist() == ids[[5, 2]].tolist()


def test_default_branches_can_be_built(case: Case) -> None:
    modality, X = fitted(case)
    data = parts_of(modality, X)
    branches = modality.branches()
    assert branches
    assert all(isinstance(branch, Branch) for branch in branches)
    assert len({branch.name for branch in branches}) == len(branches)
    assert any(branch.objective is None for branch in branches)
    assert any(branch.objective is not None for branch in branches)
    for branch in branches:
        encoder = build_encoder(branch.encoder, modality.schema, 0)
        if hasattr(encoder, "prepare"):
            encoder.prepare(data)
        embedded = encoder.eval()(
            data if case.name == "text" else data.to(next(iter(encoder.parameters()), data).dtype)
        )
        assert embedded.shape == (len(data), encoder.width)
        assert embedded.isfinite().all()
        build_scorer(branch.scorer)


def test_default_view_keeps_the_shape_and_its_input(case: Case) -> None:
    modality, X = fitted(case)
    data = parts_of(modality, X)
    kept = data.clone()
    view = modality.view()
    assert isinstance(view, View)
    view = view.prepare(data) if hasattr(view, "prepare") else view
    seen = view(data, RowGenerator(derive(0, "view"), torch.arange(len(data))))
    assert equal(data, kept)
    assert seen.shape == data.shape
    assert not equal(seen, data)


def test_a_restored_modality_gives_equal_tensors(case: Case) -> None:
    modality, X = fitted(case)
    state = modality.state()
    through_json = {
        name: value if isinstance(value, np.ndarray) else json.loads(json.dumps(value)) for name, value in state.items()
    }
    restored = new(case)
    restored.restore(through_json)
    raw = case.make(N)
    assert restored.schema == modality.schema
    assert equal(parts_of(restored, restored.check(raw)), parts_of(modality, X))


def test_fitting_again_forgets(case: Case) -> None:
    modality, X = fitted(case)
    once = parts_of(modality, X)
    modality.fit(take(X, np.arange(4)))
    modality.fit(X)
    assert equal(parts_of(modality, X), once)


def test_before_fit(case: Case) -> None:
    modality = new(case)
    X = modality.check(case.make(3))
    for use in (lambda: modality.schema, lambda: modality.tensors(X), modality.state):
        with pytest.raises(NotFitted, match=r"must be fitted first\. Call `fit`"):
            use()
