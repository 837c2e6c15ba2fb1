from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.parts import Pull, fit, jitter, make, named_objective, network, rows, same_weights, without_speed
from torch import Tensor, nn

from unalike import Detector, Training, encoders, objectives
from unalike.errors import CannotLoad, InvalidParameter
from unalike.seeding import RowGenerator, generator_states, isolated, restore_generators
from unalike.training import Checkpoint, TrainingRows, branch_checkpoint, open_folder
from unalike.training.modules import module_state
from unalike.types import Batch, Branch, View


class Killed(Exception):
    """Stands for a kill; the real ones are in `test_training_kills`."""


class Hard(Pull):
    """All that is hard to bring back: dropout, batch statistics, a queue that grows and is kept out of models."""

    queue: Tensor

    def __init__(self, encoder: nn.Module, end_at: int | None = None) -> None:
        super().__init__(encoder)
        self.end_at = end_at
        self.norm = nn.BatchNorm1d(8)
        self.register_buffer("queue", torch.zeros(0, 8), persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def after_step(self) -> None:
        self.count += 1
        if self.end_at is not None and int(self.count) == self.end_at:
            raise Killed

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        query = self.norm(self.encoder(views(batch.data, generator)))
        key = self.norm(self.encoder(views(batch.data, generator)))
        negatives = torch.cat([key, self.queue.to(key.dtype)])
        if self.training:
            self.queue = torch.cat([key.detach(), self.queue.to(key.dtype)])[:40]
        # A user's draws from the global generators, as dropout does.
        noise = float(torch.rand(())) + random.random() + np.random.random()  # noqa: S311
        return nn.functional.cross_entropy(query @ negatives.T, torch.arange(len(query))) * (1.0 + 0.1 * noise)


def names(folder: Path) -> list[str]:
    return sorted(place.name for place in folder.iterdir())


def hard(end_at: int | None = None) -> Hard:
    return Hard(network(dropout=0.3), end_at)


SETTINGS = [
    Training(epochs=4, batch_size=16, checkpoint_every=0.0, learning_rate=1e-2),
    Training(epochs=4, batch_size=16, checkpoint_every=0.0, learning_rate=0.05, optimizer="sgd", gradient_clip=1.0),
    Training(steps=11, batch_size=8, accumulate=2, checkpoint_every=0.0, learning_rate=1e-2, optimizer="adamw"),
    Training(epochs=4, batch_size=16, checkpoint_every=0.0, learning_rate=1e-2, patience=2, held_out=0.2),
    Training(epochs=4, batch_size=16, checkpoint_every=0.0, learning_rate=1e-2, precision="bf16-mixed"),
    Training(epochs=4, batch_size=16, checkpoint_every=0.0, learning_rate=1e-2, precision="64-true"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["adam", "sgd", "accumulate", "patience", "mixed", "double"])
def test_ended_at_any_step_it_goes_on_as_if_it_never_had(settings: Training, tmp_path: Path) -> None:
    whole = hard()
    expected = fit(whole, settings, rows(50, 3))
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    for end_at in (1, 2, 5, 7):
        with pytest.raises(Killed):
            fit(hard(end_at), settings, rows(50, 3), checkpoint=checkpoint)
    resumed = hard()
    history = fit(resumed, settings, rows(50, 3), checkpoint=checkpoint)
    assert same_weights(whole, resumed)
    assert torch.equal(whole.queue, resumed.queue)
    assert without_speed(history) == without_speed(expected)


@pytest.mark.filterwarnings("ignore:The embedding collapsed")  # in a few steps on a toy
@pytest.mark.parametrize("name", sorted(objectives.NAMES))
def test_every_objective_of_ours_comes_back_and_watching_it_leaves_no_trace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Training(epochs=3, batch_size=8, checkpoint_every=0.0, learning_rate=1e-2)
    write = Checkpoint.write

    def begin(settings: Training, n: int, checkpoint: Checkpoint | None = None) -> nn.Module:
        objective, data = named_objective(name)
        given = TrainingRows(n, lambda positions: data[torch.from_numpy(positions)], n_anomalies=32 - n)
        fit(objective, settings, given, checkpoint=checkpoint)
        return objective

    def write_and_end(self, identity, state) -> None:
        write(self, identity, state)
        if state["at"][2] == 5:
            raise Killed

    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    monkeypatch.setattr(Checkpoint, "write", write_and_end)
    with pytest.raises(Killed):
        begin(settings, 28, checkpoint)
    monkeypatch.undo()
    assert same_weights(begin(settings, 28, checkpoint), begin(settings, 28))
    objective, data = named_objective(name)
    if hasattr(objective, "prepare"):
        objective.prepare(data)
    before = {key: values.clone() for key, values in module_state(objective).items()}
    objective.eval()
    batch = Batch(data, torch.arange(32))
    losses = []
    with torch.no_grad():
        for _ in range(2):
            losses.append(float(objective(batch, jitter, RowGenerator(0, batch.index))))
            if hasattr(objective, "after_step"):
                objective.after_step()
    assert losses[0] == losses[1]
    assert all(torch.equal(values, before[key]) for key, values in module_state(objective).items())


def test_checkpoints_change_nothing(tmp_path: Path) -> None:
    plain, kept = hard(), hard()
    histories = [fit(plain, SETTINGS[0]), fit(kept, SETTINGS[0], checkpoint=Checkpoint(tmp_path / "a.safetensors"))]
    assert same_weights(plain, kept)
    assert without_speed(histories[0]) == without_speed(histories[1])


def test_a_finished_branch_is_not_trained_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    first, again = hard(), hard(end_at=1)
    before = without_speed(fit(first, SETTINGS[3], checkpoint=checkpoint))
    size = checkpoint.path.stat().st_size
    assert without_speed(fit(again, SETTINGS[3], checkpoint=checkpoint)) == before
    assert same_weights(first, again)
    assert checkpoint.path.stat().st_size == size
    assert names(tmp_path) == ["a.safetensors"]


def test_the_draws_after_a_finished_branch_are_those_of_a_first_run(tmp_path: Path) -> None:
    """The next branch may draw from the global generators, too."""
    from unalike.training import train

    drawn = []
    for _ in range(2):
        with isolated(1):
            objective = hard()
            train(
                objective, rows(), lambda data, generator: data, SETTINGS[0], seed=0, device=torch.device("cpu"),
                checkpoint=Checkpoint(tmp_path / "a.safetensors"),
            )  # fmt: skip
            drawn.append((float(torch.rand(())), float(np.random.random()), random.random()))  # noqa: S311
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("moment", ["half written", "not in place"])
def test_ended_while_it_writes_the_earlier_state_stays(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hard()
    fit(whole, SETTINGS[0])
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    real, calls = os.fsync, []

    def end(descriptor: int) -> None:
        real(descriptor)
        calls.append(1)
        if len(calls) == 4:
            if moment == "half written":
                os.ftruncate(descriptor, 1000)
            raise Killed

    monkeypatch.setattr(os, "fsync", end)
    with pytest.raises(Killed):
        fit(hard(), SETTINGS[0], checkpoint=checkpoint)
    monkeypatch.undo()
    assert names(tmp_path) == [".a.safetensors.tmp", "a.safetensors"]
    resumed = hard()
    fit(resumed, SETTINGS[0], checkpoint=checkpoint)
    assert same_weights(whole, resumed)
    assert names(tmp_path) == ["a.safetensors"]


def test_it_is_written_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []
    real = Checkpoint.write

    def write(self, identity, state):
        written.append(state["finished"])
        real(self, identity, state)

    monkeypatch.setattr(Checkpoint, "write", write)
    fit(make(), Training(epochs=3, batch_size=10), checkpoint=Checkpoint(tmp_path / "a.safetensors"))
    assert written == [True]
    fit(
        make(), Training(epochs=3, batch_size=10, checkpoint_every=0), checkpoint=Checkpoint(tmp_path / "b.safetensors")
    )
    assert written == [True, *[False] * 15, True]


def test_the_file_holds_no_pickle_and_tells_what_it_is(tmp_path: Path) -> None:
    from safetensors import safe_open

    fit(make(), Training(epochs=1), checkpoint=Checkpoint(tmp_path / "a.safetensors"))
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        body = json.loads(file.metadata()["unalike"])
    assert body["format"] == "unalike checkpoint"
    assert body["identity"]["seed"] == 0
    assert body["identity"]["training"]["epochs"] == 1


BEGUN = Training(epochs=2, batch_size=16, learning_rate=1e-2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"settings": Training(epochs=2, batch_size=8, learning_rate=1e-2)},
            r"training.batch_size was 16 and is now 8",
        ),
        ({"seed": 1}, r"a.safetensors' `random_state` was another one\. Fit as before"),
        ({"seed": 1, "objective": Pull(network(seed=1))}, r"a.safetensors' `random_state` was another one\. Fit"),
        ({"n": 51}, r"rows.n was 50 and is now 51"),
        ({"n": rows(50, 2)}, r"n_anomalies was 0 and is now 2"),
        ({"n": rows(50, group=np.arange(50))}, r"rows.content"),
        ({"objective": Pull(network(seed=1))}, "weights"),
        ({"made_from": objectives.SimCLR(temperature=0.1)}, r"branch.temperature was 0.5 and is now 0.1"),
    ],
)
def test_other_data_or_settings_are_refused_and_named(change: dict, match: str, tmp_path: Path) -> None:
    def begin(objective=None, settings=BEGUN, n=50, seed=0, made_from=objectives.SimCLR(temperature=0.5)):  # noqa: B008
        checkpoint = Checkpoint(tmp_path / "a.safetensors", made_from)
        return fit(objective or make(), settings, n, seed, checkpoint)

    begin()
    content = (tmp_path / "a.safetensors").read_bytes()
    with pytest.raises(InvalidParameter, match=match):
        begin(**change)
    assert (tmp_path / "a.safetensors").read_bytes() == content
    begin(settings=Training(**{**vars(BEGUN), "checkpoint_every": 1.0}))


def test_one_changed_cell_is_other_data(tmp_path: Path) -> None:
    given = rows(50)
    fit(make(), BEGUN, given, checkpoint=Checkpoint(tmp_path / "a.safetensors"))
    given.load(np.arange(50))
    data = given.load(np.arange(50)).clone()
    data[33, 2] += 1e-6
    other = type(given)(50, lambda positions: data[torch.from_numpy(positions)])
    with pytest.raises(InvalidParameter, match=r"rows\.content"):
        fit(make(), BEGUN, other, checkpoint=Checkpoint(tmp_path / "a.safetensors"))


def test_other_versions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(make(), BEGUN, checkpoint=Checkpoint(tmp_path / "a.safetensors"))
    monkeypatch.setattr("unalike.training.identity.version", lambda name: "9.9")
    with pytest.raises(InvalidParameter, match=r"versions.torch was '.*' and is now '9\.9'"):
        fit(make(), BEGUN, checkpoint=Checkpoint(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"cut"])
def test_a_damaged_file_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    fit(make(), BEGUN, checkpoint=Checkpoint(path))
    path.write_bytes(path.read_bytes()[:-100] if content == b"cut" else content)
    with pytest.raises(CannotLoad, match="Delete it"):
        fit(make(), BEGUN, checkpoint=Checkpoint(path))


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "folder")
    marker = folder / "unalike-checkpoint.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format_version": 2}))
    with pytest.raises(CannotLoad, match="format 2"):
        open_folder(folder)


def test_the_folder_is_made_and_taken_again(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "deep" / "folder")
    assert [place.name for place in folder.iterdir()] == ["unalike-checkpoint.json"]
    assert open_folder(str(folder)) == folder
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".unalike-checkpoint.json.tmp").write_text("{")  # killed while it was made
    open_folder(tmp_path / "empty")
    files = {branch_checkpoint(folder, name, None).path.name for name in ("a", "a/b", "../a", "a b", "..", "é")}
    assert len(files) == 6
    assert all(Path(name).name == name and name.startswith("branch-") for name in files)
    assert branch_checkpoint(None, "a", None) is None


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(InvalidParameter, match=r"thesis\.txt"):
        open_folder(tmp_path)
    assert names(tmp_path) == ["thesis.txt"]
    with pytest.raises(InvalidParameter, match="folder that can be written"):
        open_folder(tmp_path / "thesis.txt")
    (tmp_path / "unalike-checkpoint.json").write_text("[]")
    with pytest.raises(InvalidParameter, match="is none"):
        open_folder(tmp_path)


def test_generators_come_back_to_where_they_were() -> None:
    def draw():
        normal = np.random.normal()  # leaves a second number behind
        return float(torch.rand(())), normal, np.random.random(), random.random()  # noqa: S311

    with isolated(3):
        draw()
        states = generator_states()
        first = [draw(), draw()]
        restore_generators(states)
        assert [draw(), draw()] == first


def table(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 4)) @ np.random.default_rng(1).normal(size=(4, 6))


def detector(**settings) -> Detector:
    training = {"steps": 8, "batch_size": 16, "checkpoint_every": 0.0}
    return Detector("table", training=training, calibration_fraction=0, **settings)


def test_a_detector_goes_on_with_the_branch_it_was_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    branches = [
        Branch(name=name, encoder=encoders.TableMLP(hidden=(8,)), objective=objective)
        for name, objective in (("first", "synthetic-contrast"), ("second", "simclr"))
    ]
    whole = detector(branches=branches).fit(table())
    from unalike.objectives.simclr import SimCLRObjective
    from unalike.objectives.synthetic import SyntheticContrastObjective

    calls = {"synthetic": 0, "simclr": 0}
    for name, kind in (("synthetic", SyntheticContrastObjective), ("simclr", SimCLRObjective)):

        def forward(self, batch, views, generator, name=name, real=kind.forward):
            calls[name] += 1
            if calls[name] in (4, 9) and name == "simclr":
                raise Killed
            return real(self, batch, views, generator)

        monkeypatch.setattr(kind, "forward", forward)
    for _ in range(2):
        with pytest.raises(Killed):
            detector(branches=branches).fit(table(), checkpoint=tmp_path / "fit")
    resumed = detector(branches=branches).fit(table(), checkpoint=tmp_path / "fit")
    assert calls == {"synthetic": 8, "simclr": 10}  # 3 + 4 (and one that was cut) + 1
    X = table(200)[60:]
    assert np.array_equal(whole.anomaly_scores(X), resumed.anomaly_scores(X))
    for ours, theirs in zip(whole.branches_, resumed.branches_, strict=True):
        assert same_weights(ours.judge.encoder, theirs.judge.encoder)
        assert without_speed(ours.history) == without_speed(theirs.history)
    for name, scores in whole.branch_scores(X).items():
        assert np.array_equal(scores, resumed.branch_scores(X)[name]), name
    assert names(tmp_path / "fit") == [
        "branch-first.safetensors",
        "branch-second.safetensors",
        "unalike-checkpoint.json",
    ]
    # A third fit trains nothing.
    again = detector(branches=branches).fit(table(), checkpoint=tmp_path / "fit")
    assert calls == {"synthetic": 8, "simclr": 10}
    assert np.array_equal(whole.anomaly_scores(X), again.anomaly_scores(X))


def test_a_detector_refuses_what_it_cannot_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="random_state"):
        detector(random_state=None).fit(table(), checkpoint=tmp_path / "fit")
    assert not (tmp_path / "fit").exists()
    fitted = detector(encoder=encoders.TableMLP(hidden=(4,)), objective="simclr").fit(
        table(), checkpoint=tmp_path / "fit"
    )
    other = detector(encoder=encoders.TableMLP(hidden=(5,)), objective="simclr")
    with pytest.raises(InvalidParameter, match=r"branch.encoder.hidden was \[4\] and is now \[5\]"):
        other.fit(table(), checkpoint=tmp_path / "fit")
    with pytest.raises(InvalidParameter, match=r"`random_state` must be \d, .* got 41\. Give that one") as refused:
        detector(random_state=41).fit(table(), checkpoint=tmp_path / "fit")
    assert "rows" not in str(refused.value)
    with pytest.raises(InvalidParameter, match=r"`random_state` must be \d, .* got RandomState"):
        detector(random_state=np.random.RandomState(0)).fit(table(), checkpoint=tmp_path / "fit")
    with pytest.raises(InvalidParameter, match=r"rows\.content"):
        fitted.fit(table() + 1.0 * np.arange(60)[:, None], checkpoint=tmp_path / "fit")
    fitted.anomaly_scores(table())


def test_the_progress_of_a_resumed_training_shows_at_once(tmp_path: Path) -> None:
    from unalike.training import train

    seen: list[float] = []
    for end_at in (8, None):
        seen.clear()
        try:
            with isolated(5):
                train(
                    hard(end_at), rows(), lambda data, generator: data, SETTINGS[0], seed=0, device=torch.device("cpu"),
                    on_epoch=lambda row: seen.append(row["epoch"]), checkpoint=Checkpoint(tmp_path / "a.safetensors"),
                )  # fmt: skip
        except Killed:
            assert seen == [1, 2]
    assert seen == [2, 3, 4]


def test_a_folder_without_any_training_takes_another_seed(tmp_path: Path) -> None:
    open_folder(tmp_path / "fit", 0)
    open_folder(tmp_path / "fit", 1)
    (tmp_path / "fit" / "branch-a.safetensors").write_bytes(b"")
    with pytest.raises(InvalidParameter, match=r"must be 1, that of .* got 0\."):
        open_folder(tmp_path / "fit", 0)
    marker = tmp_path / "fit" / "unalike-checkpoint.json"
    marker.write_text(json.dumps({"format": "unalike checkpoint", "format_version": 1}))  # as earlier ones were
    open_folder(tmp_path / "fit", 0)
