from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from tests.conftest import OneClass
from tests.training.parts import CPU, Pull, fit, jitter, make, named_objective
from torch import Tensor

from unalike import Branch, Detector, encoders, objectives, thresholds
from unalike.errors import InvalidParameter
from unalike.objectives.losses import nt_xent
from unalike.seeding import RowGenerator
from unalike.training import TrainingRows, train
from unalike.types import Batch, Training, View

RATE = thresholds.Conformal(false_alarm_rate=0.1)


class Contrast(Pull):
    """With our loss, which lifts half precision."""

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        first, second = views(batch.data, generator), views(batch.data, generator)
        return nt_xent(self.encoder(first), self.encoder(second), 0.2)


def test_double_precision_and_clipping_train() -> None:
    objective = make()
    history = fit(objective, Training(epochs=5, precision="64-true", gradient_clip=1.0, learning_rate=1e-2))
    assert history[-1]["loss"] < history[1]["loss"]


def test_mixed_precision_trains_beside_full_precision_and_keeps_its_weights() -> None:
    start = make().encoder
    losses, weights = {}, {}
    for precision in ("32-true", "bf16-mixed"):
        objective = Contrast(make().encoder)
        history = fit(objective, Training(epochs=20, batch_size=25, precision=precision, learning_rate=1e-2))
        losses[precision] = np.array([row["loss"] for row in history[1:]])
        weights[precision] = objective.encoder[0].weight
        assert {parameter.dtype for parameter in objective.parameters()} == {torch.float32}
    assert losses["bf16-mixed"][-1] < 0.8 * losses["bf16-mixed"][0]
    # Rounding to 8 bits shows in the loss, and no more than that.
    np.testing.assert_allclose(losses["bf16-mixed"], losses["32-true"], atol=0.02)
    assert not np.array_equal(losses["bf16-mixed"], losses["32-true"])
    moved = (weights["bf16-mixed"] - start[0].weight).abs().max()
    assert (weights["bf16-mixed"] - weights["32-true"]).abs().max() < 0.2 * moved


@pytest.mark.parametrize(
    ("precision", "data_type", "weight_type"),
    [("32-true", torch.float32, torch.float32), ("bf16-mixed", torch.float32, torch.bfloat16),
     ("64-true", torch.float64, torch.float64)],
)  # fmt: skip
def test_rows_and_views_keep_full_precision(precision: str, data_type: torch.dtype, weight_type: torch.dtype) -> None:
    """Code 257 of a category is 256 in bfloat16, and a matrix product under autocast would round what a view draws."""
    codes = torch.full((6, 5), 257.0)
    codes[::2] = 259.0
    seen: set[torch.dtype] = set()

    def view(data: Tensor, generator: RowGenerator) -> Tensor:
        product = data @ torch.eye(5, dtype=data.dtype)
        seen.add(product.dtype)
        assert sorted(product.unique().tolist()) == [257.0, 259.0]
        return data * 1e-3

    class Watch(Pull):
        def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
            embedding = self.encoder(views(batch.data, generator))
            assert embedding.dtype == weight_type
            return embedding.float().square().mean()

    given = TrainingRows(6, lambda positions: codes[torch.from_numpy(positions)])
    train(Watch(make().encoder), given, view, Training(steps=2, precision=precision), seed=0, device=CPU)
    assert seen == {torch.float32, data_type}


@pytest.mark.parametrize("name", sorted(objectives.NAMES))
def test_losses_are_paid_in_full_precision(name: str) -> None:
    """Under autocast the network gives bfloat16; summed in it, the loss would lose what tells one step from another."""
    objective, data = named_objective(name)
    if hasattr(objective, "prepare"):
        objective.prepare(data)
    batch = Batch(data, torch.arange(32))

    def loss() -> Tensor:
        return objective(batch, jitter, RowGenerator(2, batch.index)).detach()

    exact = loss()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = loss()
    assert rounded.dtype == torch.float32
    assert rounded.bfloat16().float() != rounded
    assert float(rounded) == pytest.approx(float(exact), rel=0.02)


@pytest.fixture(scope="module")
def usual(breast_cancer: OneClass) -> Detector:
    return Detector("table", training={"steps": 20}, threshold=RATE).fit(breast_cancer.train)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_tables_fit_in_other_precisions(precision: str, usual: Detector, breast_cancer: OneClass) -> None:
    training = {"precision": precision, "steps": 20}
    detector = Detector("table", training=training, threshold=RATE).fit(breast_cancer.train)
    # Judged in double precision either way (`Table.exact`); only what training learned differs.
    for name, history in detector.history_.items():
        assert history[-1]["loss"] == pytest.approx(usual.history_[name][-1]["loss"], abs=0.02), name
    for ours, theirs in zip(detector.branches_, usual.branches_, strict=True):
        if ours.history:
            assert not torch.equal(*(next(branch.judge.encoder.parameters()) for branch in (ours, theirs)))
    scores, expected = detector.anomaly_scores(breast_cancer.test), usual.anomaly_scores(breast_cancer.test)
    assert np.corrcoef(scores, expected)[0, 1] > 0.99


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", np.float64), ("bf16-mixed", np.float32)])
def test_images_fit_in_other_precisions(precision: str, dtype: type, zeros: OneClass) -> None:
    branch = Branch(name="small", encoder=encoders.ConvNet(channels=(4, 8)), objective=objectives.SimCLR())
    training = {"precision": precision, "steps": 4, "batch_size": 32}
    detector = Detector("image", branches=[branch], training=training, calibration_fraction=0).fit(zeros.train)
    usual = clone(detector).set_params(training={**training, "precision": "32-true"}).fit(zeros.train)
    embeddings = detector.embed(zeros.test[:20])
    assert embeddings.dtype == dtype
    np.testing.assert_allclose(embeddings, usual.embed(zeros.test[:20]), atol=0.05 * np.abs(embeddings).max())


def test_half_precision_on_the_cpu_is_refused_before_anything_is_learned() -> None:
    detector = Detector("table", training={"precision": "16-mixed"}, device="cpu")
    with pytest.raises(InvalidParameter, match="bf16-mixed"):
        detector.fit(np.random.default_rng(0).normal(size=(40, 3)))
    assert not hasattr(detector, "branches_")
