from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from unalike.errors import InvalidInput, InvalidParameter
from unalike.objectives.losses import info_nce, nt_xent, sup_con

GRID = [(n, d, temperature) for n in (1, 2, 7, 32) for d in (1, 3, 64) for temperature in (0.07, 0.5, 1.0)]


def pair(n, d, dtype=torch.float32, seed=0):
    draws = torch.Generator().manual_seed(1000 * n + d + seed)
    return torch.randn(n, d, generator=draws, dtype=dtype), torch.randn(n, d, generator=draws, dtype=dtype)


def slow_nt_xent(first, second, temperature):
    rows = [row / row.norm() for row in (*first, *second)]
    n = len(first)
    losses = []
    for i, anchor in enumerate(rows):
        weights = [math.exp(float(anchor @ rows[j]) / temperature) for j in range(2 * n) if j != i]
        positive = math.exp(float(anchor @ rows[(i + n) % (2 * n)]) / temperature)
        losses.append(-math.log(positive / sum(weights)))
    return sum(losses) / len(losses)


def slow_info_nce(query, key, negatives, temperature):
    losses = []
    for i in range(len(query)):
        others = [key[j] for j in range(len(key)) if j != i] if negatives is None else list(negatives)
        cosines = [float(functional.cosine_similarity(query[i], other, dim=0)) for other in (key[i], *others)]
        weights = [math.exp(cosine / temperature) for cosine in cosines]
        losses.append(-math.log(weights[0] / sum(weights)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("n", "d", "temperature"), GRID)
def test_nt_xent_equals_a_slow_twin(n, d, temperature):
    first, second = pair(n, d, torch.float64)
    assert nt_xent(first, second, temperature).item() == pytest.approx(
        slow_nt_xent(first, second, temperature), abs=1e-9
    )


@pytest.mark.parametrize(("n", "d", "temperature"), GRID)
def test_nt_xent_equals_lightly(n, d, temperature):
    from lightly.loss import NTXentLoss

    first, second = pair(n, d)
    theirs = NTXentLoss(temperature=temperature)(first, second)
    assert torch.allclose(nt_xent(first, second, temperature), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "d", "temperature"), [case for case in GRID if case[0] > 1])
def test_nt_xent_equals_pytorch_metric_learning(n, d, temperature):
    from pytorch_metric_learning.losses import NTXentLoss

    # float64: they add a small number inside the logarithm, which shows in float32.
    first, second = pair(n, d, torch.float64)
    labels = torch.arange(n).repeat(2)
    theirs = NTXentLoss(temperature=temperature)(torch.cat((first, second)), labels)
    assert torch.allclose(nt_xent(first, second, temperature), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "d", "temperature"), GRID)
@pytest.mark.parametrize("m", [None, 0, 5])
def test_info_nce_equals_a_slow_twin(n, d, temperature, m):
    query, key = pair(n, d, torch.float64)
    negatives = (
        None if m is None else torch.randn(m, d, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    )
    ours = info_nce(query, key, negatives, temperature).item()
    assert ours == pytest.approx(slow_info_nce(query, key, negatives, temperature), abs=1e-9)


def test_info_nce_equals_pytorch_metric_learning_in_the_batch():
    from pytorch_metric_learning.losses import NTXentLoss

    query, key = pair(16, 8, torch.float64)
    labels = torch.arange(16)
    theirs = NTXentLoss(temperature=0.2)(query, labels, ref_emb=key, ref_labels=labels.clone())
    assert torch.allclose(info_nce(query, key), theirs, rtol=1e-5, atol=1e-5)


def test_info_nce_equals_lightly_with_a_queue():
    from lightly.loss import NTXentLoss

    query, key = pair(16, 8)
    loss = NTXentLoss(temperature=0.2, memory_bank_size=(40, 8))
    loss(*pair(16, 8, seed=1))  # puts rows into the bank
    queue = loss.memory_bank.bank.clone()
    theirs = loss(query, key)
    assert queue.shape == (40, 8)
    assert torch.allclose(info_nce(query, key, queue), theirs, rtol=1e-5, atol=1e-5)


def test_gradients_are_right():
    first, second = (part.requires_grad_() for part in pair(4, 3, torch.float64))
    queue = pair(5, 3, torch.float64)[0].requires_grad_()
    assert torch.autograd.gradcheck(nt_xent, (first, second))
    assert torch.autograd.gradcheck(info_nce, (first, second))
    assert torch.autograd.gradcheck(info_nce, (first, second, queue))


def test_lengths_do_not_count():
    first, second = pair(8, 5, torch.float64)
    lengths = torch.linspace(0.01, 100.0, 8, dtype=torch.float64)[:, None]
    assert torch.allclose(nt_xent(first * lengths, second * 3.0), nt_xent(first, second), atol=1e-12)
    assert torch.allclose(info_nce(first * lengths, second * 3.0), info_nce(first, second), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_identical_embeddings_cost_the_log_of_the_candidates(n):
    rows = torch.ones(n, 4, dtype=torch.float64)
    assert nt_xent(rows, rows).item() == pytest.approx(math.log(2 * n - 1), abs=1e-12)
    assert info_nce(rows, rows).item() == pytest.approx(math.log(n), abs=1e-12)
    assert info_nce(rows, rows, torch.ones(6, 4, dtype=torch.float64)).item() == pytest.approx(math.log(7), abs=1e-12)


def test_orthogonal_pairs_have_a_closed_form():
    rows = torch.eye(6, dtype=torch.float64)
    # exp(1/t) for the pair, exp(0) for each of the 10 others.
    assert nt_xent(rows, rows, 0.5).item() == pytest.approx(math.log(1 + 10 * math.exp(-2.0)))
    assert info_nce(rows, rows, temperature=0.5).item() == pytest.approx(math.log(1 + 5 * math.exp(-2.0)))


def test_one_row_has_no_negatives_and_no_gradient():
    first, second = (part.requires_grad_() for part in pair(1, 4))
    loss = nt_xent(first, second)
    loss.backward()
    assert loss.item() == 0.0
    assert first.grad is not None
    assert torch.equal(first.grad, torch.zeros(1, 4))


def test_both_directions_count_the_same():
    first, second = pair(6, 4, torch.float64)
    assert torch.allclose(nt_xent(first, second), nt_xent(second, first), atol=1e-12)
    assert not torch.allclose(info_nce(first, second), info_nce(second, first), atol=1e-6)


def test_small_temperature_and_large_embeddings_stay_finite():
    first, second = (1e6 * part for part in pair(16, 8))
    first.requires_grad_()
    loss = nt_xent(first, second, 0.01)
    loss.backward()
    assert loss.item() == pytest.approx(slow_nt_xent(first.detach().double(), second.double(), 0.01), rel=1e-4)
    assert torch.isfinite(first.grad).all()


def test_half_precision_and_autocast_lose_nothing_inside_the_loss():
    first, second = (part.to(torch.bfloat16) for part in pair(16, 8))
    exact = nt_xent(first.double(), second.double(), 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = nt_xent(first, second, 0.05)
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf, "0.5"])
@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_temperature_must_be_above_zero(loss, temperature):
    with pytest.raises(InvalidParameter, match=r"`temperature` must be a finite number above 0; got"):
        loss(*pair(2, 2), temperature=temperature)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((2, 3), (2, 4)), ((0, 3), (0, 3)), ((2, 3, 1), (2, 3, 1))])
@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_pairs_must_match(loss, shapes):
    with pytest.raises(InvalidInput, match=r"must be matrices of one shape \(n, d\)"):
        loss(*(torch.ones(shape) for shape in shapes))


def test_negatives_must_have_the_width_of_the_keys():
    with pytest.raises(InvalidInput, match=r"`negatives` must be a matrix \(m, 3\); got shape \(5, 4\)"):
        info_nce(torch.ones(2, 3), torch.ones(2, 3), torch.ones(5, 4))


# ---- copies, places that are empty, and labels ----------------------------------------------------------------


def slow_sup_con(z, labels, temperature, weights=None):
    rows = [row / row.norm() for row in z]
    weights = [1.0] * len(rows) if weights is None else weights.tolist()
    losses = []
    for i, anchor in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        size = {j: math.exp(float(anchor @ rows[j]) / temperature) for j in others}
        total = sum(size[j] * (1.0 if labels[j] == labels[i] else weights[j]) for j in others)
        positives = [j for j in others if labels[j] == labels[i]]
        if positives:
            losses.append(sum(-math.log(size[j] / total) for j in positives) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


LABELS = [[0, 0, 1, 1], [0, 1, 0, 1, 2, 2, 2], [0, 0, 0, 1, 2, 3], [0, 0, 0]]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_sup_con_equals_a_slow_twin(labels, temperature, weighted):
    z, labels = pair(len(labels), 5, torch.float64)[0], torch.tensor(labels)
    weights = torch.linspace(0.5, 3.0, len(labels), dtype=torch.float64) if weighted else None
    ours = sup_con(z, labels, temperature, weights).item()
    assert ours == pytest.approx(slow_sup_con(z, labels.tolist(), temperature, weights), abs=1e-9)


@pytest.mark.parametrize("labels", LABELS[:2])
def test_sup_con_equals_pytorch_metric_learning(labels):
    from pytorch_metric_learning.losses import SupConLoss

    z, labels = pair(len(labels), 5, torch.float64)[0], torch.tensor(labels)
    assert torch.allclose(sup_con(z, labels, 0.2), SupConLoss(temperature=0.2)(z, labels), atol=1e-9)


def test_sup_con_of_two_views_is_nt_xent():
    first, second = pair(9, 4, torch.float64)
    labels = torch.arange(9).repeat(2)
    assert torch.allclose(sup_con(torch.cat((first, second)), labels, 0.3), nt_xent(first, second, 0.3), atol=1e-12)


def test_sup_con_without_positives_costs_nothing():
    z = pair(5, 4)[0].requires_grad_()
    loss = sup_con(z, torch.arange(5))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(z.grad, torch.zeros(5, 4))


def test_sup_con_has_the_right_gradient():
    z = pair(6, 3, torch.float64)[0].requires_grad_()
    labels, weights = torch.tensor([0, 0, 1, 1, 2, 3]), torch.linspace(1, 4, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda rows: sup_con(rows, labels, 0.3, weights), (z,))


def test_copies_are_no_negatives_of_each_other():
    first, second = pair(5, 4, torch.float64)
    index = torch.tensor([3, 8, 3, 1, 0])
    rows = [row / row.norm() for row in (*first, *second)]
    owner = index.tolist() * 2
    losses = []
    for i, anchor in enumerate(rows):
        mate = (i + 5) % 10
        others = [j for j in range(10) if j == mate or owner[j] != owner[i]]
        size = {j: math.exp(float(anchor @ rows[j]) / 0.4) for j in others}
        losses.append(-math.log(size[mate] / sum(size.values())))
    assert nt_xent(first, second, 0.4, index).item() == pytest.approx(sum(losses) / 10, abs=1e-9)


def test_different_samples_need_no_index():
    first, second = pair(7, 4)
    assert torch.equal(nt_xent(first, second, 0.4, torch.arange(7) * 11), nt_xent(first, second, 0.4))


def test_excluded_negatives_are_as_if_they_were_not_there():
    query, key = pair(3, 4, torch.float64)
    queue = torch.cat(pair(3, 4, torch.float64, seed=1))
    excluded = torch.tensor([[True, False, True, False, False, True]] * 3)
    assert torch.allclose(
        info_nce(query, key, queue, 0.3, excluded), info_nce(query, key, queue[~excluded[0]], 0.3), atol=1e-12
    )
    assert info_nce(query, key, queue, 0.3, torch.ones(3, 6, dtype=torch.bool)).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda z: nt_xent(z, z, 0.5, torch.arange(2)),
            r"`index` must have shape \(3,\), one value per row; got \(2,\)",
        ),
        (lambda z: sup_con(z, torch.arange(4)), r"`labels` must have shape \(3,\)"),
        (lambda z: sup_con(z, torch.arange(3), 0.1, torch.ones(3, 1)), r"`weights` must have shape \(3,\)"),
        (lambda z: sup_con(z, torch.arange(3), 0.0), r"`temperature` must be a finite number above 0"),
        (lambda z: sup_con(z[0], torch.arange(3)), r"must be matrices of one shape"),
        (lambda z: info_nce(z, z, z, 0.2, torch.zeros(3, 3)), r"`excluded` must be a bool matrix.*\(3, 3\)"),
        (lambda z: info_nce(z, z, z, 0.2, torch.zeros(3, 2, dtype=torch.bool)), r"`excluded` must be a bool matrix"),
        (lambda z: info_nce(z, z, None, 0.2, torch.zeros(3, 3, dtype=torch.bool)), r"Give `negatives` with it"),
    ],
)
def test_rows_must_fit(call, message):
    with pytest.raises((InvalidInput, InvalidParameter), match=message):
        call(torch.ones(3, 4))
