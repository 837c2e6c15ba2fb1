"""What a checkpoint says of views, shifts and encoders of the user's."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.training.parts import CPU, make, rows
from torch import Tensor, nn

from unalike import Training
from unalike.errors import InvalidParameter
from unalike.objectives import CSI
from unalike.seeding import RowGenerator, isolated
from unalike.training import Checkpoint, train
from unalike.training.identity import describe


class Shift:
    """A view with one setting, of any kind."""

    def __init__(self, setting: object) -> None:
        self.setting = setting

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return data + 0.1 * generator.normal(*data.shape[1:])

    @cached_property
    def computed(self) -> float:
        return 1.0


class Slotted:
    __slots__ = ("strength",)

    def __init__(self, strength: float) -> None:
        self.strength = strength


class Layer(nn.Module):
    def __init__(self, setting: object) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.inner.setting = setting


DIFFERENT = [
    (np.float32(0.1), np.float32(0.9)),
    (np.int64(1), np.int64(2)),
    ([0.1, 0.2], [0.1, 0.3]),
    ({"a": 1}, {"a": 2}),
    ({1, 2}, {1, 3}),
    (np.arange(3), np.arange(1, 4)),
    (np.array(["a", "b"], dtype=object), np.array(["a", "c"], dtype=object)),
    (torch.zeros(3), torch.ones(3)),
    (pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [1.0, 3.0]})),
    (list(range(5000)), [*range(4999), 0]),
    (Shift([1]), Shift([2])),
    (Shift(1).__call__, Shift(2).__call__),
    (Slotted(0.1), Slotted(0.2)),
    (Layer([0.1]), Layer([0.2])),
    (Path("a"), Path("b")),
    (torch.float32, torch.float64),
    (b"a", b"b"),
    (CSI(shifts=(Shift(np.float32(1)),)), CSI(shifts=(Shift(np.float32(2)),))),
]


@pytest.mark.parametrize(
    ("one", "other"), DIFFERENT, ids=[f"{type(one).__name__}-{i}" for i, (one, _) in enumerate(DIFFERENT)]
)
def test_every_attribute_counts(one: object, other: object) -> None:
    told, different = describe(Shift(one)), describe(Shift(other))
    assert json.dumps(told) != json.dumps(different)
    assert json.dumps(told) == json.dumps(describe(Shift(one))) == json.dumps(json.loads(json.dumps(told)))
    assert len(json.dumps(told)) < 3000


def test_what_is_computed_and_what_refers_to_itself_is_not_told_again() -> None:
    view = Shift(None)
    view.setting = [view]
    told = describe(view)
    assert told["setting"] == [{"again": "Shift"}]
    assert view.computed == 1.0
    assert describe(view) == told


def test_what_is_told_is_the_same_in_every_process() -> None:
    code = (
        "import json, numpy as np, torch\n"
        "from pathlib import Path\n"
        "from tests.training.test_training_identity import Shift, Slotted, Layer\n"
        "from unalike.training.identity import describe\n"
        "held = [{'a', 'b', 'c'}, object(), np.random.default_rng(0), torch.Generator(), Path('x'), len,\n"
        "        Slotted(1.0), Layer(Shift), torch, lambda x: x]\n"
        "print(json.dumps(describe(Shift(held))))"
    )
    texts = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout  # noqa: S603
        for _ in range(2)
    }
    assert len(texts) == 1


def test_a_model_with_another_view_is_not_resumed(tmp_path: Path) -> None:
    def begin(strength: float) -> None:
        with isolated(5):
            train(
                make(), rows(), Shift(np.float32(strength)), Training(epochs=1), seed=0, device=CPU,
                checkpoint=Checkpoint(tmp_path / "a.safetensors"),
            )  # fmt: skip

    begin(0.25)
    begin(0.25)
    with pytest.raises(InvalidParameter, match=r"view.setting was 0.25 and is now 0.5"):
        begin(0.5)
