"""Contrastive losses: pure functions on ``(n, d)`` tensors of projections.

Lengths do not count: every row is scaled to unit length inside, so that similarities are cosines. Half
precision is lifted to float32 and autocast is switched off, because a cosine rounded to bfloat16 and
divided by a temperature of 0.05 is off by several hundredths.

With many processes the anchors are the process's own rows and the candidates those of all processes
(`unalike.parallel.gather`). Every process must bring the same ``n``; then the mean of the loss over the
processes, and the gradient after DDP has averaged it, equal those of one process with all the rows.

A large matrix of similarities is never made: `unalike.objectives.tiled` sums it tile by tile, with the same value and
gradient up to rounding. That is chosen by its size alone (`tiled.LARGEST_MATRIX`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from unalike.errors import InvalidInput, InvalidParameter
from unalike.objectives.hard import among_hard, check_hardness
from unalike.objectives.pairs import at_unit_length
from unalike.objectives.tiled import in_tiles, log_sum_exp, without, without_own
from unalike.parallel import gather, rank


def nt_xent(
    first: Tensor, second: Tensor, temperature: float = 0.5, index: Tensor | None = None, hardness: float = 0.0
) -> Tensor:
    """Normalised-temperature cross entropy, the loss of SimCLR.

    Each of the ``2n`` rows must find its pair among the other ``2n - 1``, in both directions.

    Parameters
    ----------
    first, second : Tensor
        ``(n, d)`` each; row ``i`` of one and of the other are a positive pair.
    temperature : float
        Divides the cosines, above 0. The smaller, the more the hardest negatives weigh.
    index : Tensor, optional
        ``(n,)`` whole numbers: rows with the same one come from the same sample and are no negatives of each
        other. None: all rows come from different samples.
    hardness : float
        How much more similar negatives weigh, 0 or more: a negative with cosine ``s`` counts in proportion to
        ``exp(hardness * s / temperature)``, with weights of mean 1 for each anchor. 0: all alike.

    Returns
    -------
    Tensor
        Scalar, at least 0. It is 0, with zero gradient, for ``n = 1`` in one process: no negatives.

    Raises
    ------
    InvalidInput
        `first` and `second` are not two matrices of one shape with at least one row, or `index` has another length.
    InvalidParameter
        `temperature` is not above 0, or `hardness` is below.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020, equation 1. Hardness: Robinson, Chuang, Sra and Jegelka, "Contrastive learning with
    hard negative samples", ICLR 2021, without its correction for false negatives.
    """
    _check_pairs("first", first, "second", second)
    check_temperature(temperature)
    check_hardness(hardness)
    n = len(first)
    with torch.autocast(first.device.type, enabled=False):
        anchors = torch.cat((at_unit_length(first), at_unit_length(second)))  # (2n, d)
        candidates = gather(anchors)  # (2N, d), N = n over all processes
        row = torch.arange(2 * n, device=anchors.device)  # (2n,)
        offset = rank() * 2 * n
        pair = row.roll(n) + offset  # (2n,) where each anchor's pair stands among the candidates
        if index is not None:
            _check_rows("index", index, first)
        if hardness > 0.0:
            own = rank() * n + row % n if index is None else index.repeat(2)  # (2n,) sample of each anchor
            return among_hard(anchors, candidates, pair, (own, gather(own)), temperature, hardness)
        if in_tiles(len(anchors), len(candidates)):
            alike = anchors * candidates.index_select(0, pair)  # (2n, d)
            ids = (row + offset, torch.arange(len(candidates), device=row.device))
            ids = ids if index is None else (index.repeat(2), gather(index.repeat(2)))
            total = log_sum_exp(anchors, candidates, temperature, without_own(*ids, pair))  # (2n,)
            return (total - alike.sum(dim=1) / temperature).mean()
        logits = anchors @ candidates.T / temperature  # (2n, 2N)
        if index is None:
            logits = logits.scatter(1, (row + offset)[:, None], -math.inf)  # an anchor is no candidate of its own
        else:
            of_sample = _equal(index.repeat(2)).scatter(1, pair[:, None], False)  # (2n, 2N)
            logits = logits.masked_fill(of_sample, -math.inf)
        return functional.cross_entropy(logits, pair)


def info_nce(
    query: Tensor,
    key: Tensor,
    negatives: Tensor | None = None,
    temperature: float = 0.2,
    excluded: Tensor | None = None,
) -> Tensor:
    """InfoNCE in one direction: each query must find its key among negatives.

    Parameters
    ----------
    query, key : Tensor
        ``(n, d)`` each; row ``i`` of one and of the other are a positive pair. Gradient flows to both:
        detach `key` where it comes from a momentum encoder.
    negatives : Tensor, optional
        ``(m, d)``, for example MoCo's queue, the same on every process. None: the keys of the other rows
        of the batch, on all processes.
    temperature : float
        Divides the cosines, above 0.
    excluded : Tensor, optional
        ``(n, m)`` bool: which of `negatives` are none for a query, because they are empty places of a queue or
        come from the query's own sample.

    Returns
    -------
    Tensor
        Scalar, at least 0; 0 where there are no negatives.

    Raises
    ------
    InvalidInput
        `query` and `key` are not two matrices of one shape with at least one row, or `negatives` is not
        a matrix of the same width, or `excluded` is not a matrix of bool that fits both.
    InvalidParameter
        `temperature` is not above 0.

    References
    ----------
    van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding",
    arXiv:1807.03748, equation 4; with a queue: He, Fan, Wu, Xie and Girshick, "Momentum contrast for
    unsupervised visual representation learning", CVPR 2020, equation 1.
    """
    _check_pairs("query", query, "key", key)
    check_temperature(temperature)
    with torch.autocast(query.device.type, enabled=False):
        anchors, keys = at_unit_length(query), at_unit_length(key)  # (n, d) each
        row = torch.arange(len(anchors), device=anchors.device)  # (n,)
        if negatives is None:
            _check_excluded(excluded, None)
            keys = gather(keys)  # (N, d), N = n over all processes
            pair = row + rank() * len(anchors)
            if in_tiles(len(anchors), len(keys)):
                alike = (anchors * keys.index_select(0, pair)).sum(dim=1) / temperature  # (n,)
                return (log_sum_exp(anchors, keys, temperature) - alike).mean()
            return functional.cross_entropy(anchors @ keys.T / temperature, pair)
        _check_negatives(negatives, key)
        _check_excluded(excluded, (len(anchors), len(negatives)))
        positive = (anchors * keys).sum(dim=1, keepdim=True)  # (n, 1)
        unlike = at_unit_length(negatives).to(anchors.dtype)  # (m, d)
        if in_tiles(len(anchors), len(unlike)):
            alike = positive[:, 0] / temperature  # (n,)
            total = log_sum_exp(anchors, unlike, temperature, None if excluded is None else without(excluded))
            return (torch.logaddexp(total, alike) - alike).mean()
        others = anchors @ unlike.T  # (n, m)
        others = others if excluded is None else others.masked_fill(excluded, -math.inf)
        logits = torch.cat((positive, others), dim=1)  # (n, 1 + m)
        return functional.cross_entropy(logits / temperature, torch.zeros_like(row))


def sup_con(z: Tensor, labels: Tensor, temperature: float = 0.1, weights: Tensor | None = None) -> Tensor:
    """Supervised contrast: each row must find all others of its label among all other rows.

    Parameters
    ----------
    z : Tensor
        ``(m, d)``: usually both views of every sample.
    labels : Tensor
        ``(m,)`` whole numbers: rows with the same one are positives of each other. With one number per sample
        and two views this is `nt_xent`.
    temperature : float
        Divides the cosines, above 0.
    weights : Tensor, optional
        ``(m,)``, above 0: how many times a row counts where it is a negative. None: once.

    Returns
    -------
    Tensor
        Scalar, the mean over the rows that have a positive; at least 0 when no weight is below 1; 0 where there
        is none.

    Raises
    ------
    InvalidInput
        `z` is not a matrix with at least one row, or `labels` or `weights` has another length.
    InvalidParameter
        `temperature` is not above 0.

    References
    ----------
    Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2 (the sum outside the logarithm).
    """
    _check_pairs("z", z, "z", z)
    check_temperature(temperature)
    _check_rows("labels", labels, z)
    with torch.autocast(z.device.type, enabled=False):
        anchors = at_unit_length(z)  # (m, d)
        if weights is not None:
            _check_rows("weights", weights, z)
        candidates = gather(anchors)  # (M, d), M = m over all processes
        if in_tiles(len(anchors), len(candidates)):
            return _sup_con_in_tiles(anchors, candidates, labels, temperature, weights)
        logits = anchors @ candidates.T / temperature  # (m, M)
        same = _equal(labels)  # (m, M)
        itself = torch.arange(len(anchors), device=logits.device)[:, None] + rank() * len(anchors)  # (m, 1)
        others = logits.scatter(1, itself, -math.inf)
        if weights is not None:
            others = torch.where(same, others, others + gather(weights).to(logits.dtype).log())
        cost = others.logsumexp(dim=1, keepdim=True) - logits  # (m, M) of finding each candidate
        positive = same.scatter(1, itself, False)
        count = positive.sum(dim=1)  # (m,)
        per_anchor = torch.where(positive, cost, 0.0).sum(dim=1) / count.clamp_min(1)
        return per_anchor.sum() / (count > 0).sum().clamp_min(1)


def _sup_con_in_tiles(
    anchors: Tensor, candidates: Tensor, labels: Tensor, temperature: float, weights: Tensor | None
) -> Tensor:
    """The similarities to all positives of an anchor sum to that with the sum of the rows of its label."""
    everyone = gather(labels)  # (M,)
    # Not `torch.unique`, which waits for the device to tell how many there are: a label's place in order will do.
    ordered = everyone.sort().values  # (M,)
    place = torch.searchsorted(ordered, everyone)  # (M,)
    sums = torch.zeros_like(candidates).index_add(0, place, candidates)  # (M, d)
    of_anchors = place[rank() * len(anchors) :][: len(anchors)]  # (m,)
    count = torch.searchsorted(ordered, labels.contiguous(), right=True) - of_anchors - 1  # (m,)
    alike = (anchors * (sums.index_select(0, of_anchors) - anchors)).sum(dim=1) / temperature  # (m,)
    itself = torch.arange(len(anchors), device=anchors.device) + rank() * len(anchors)
    not_itself = without_own(itself, torch.arange(len(candidates), device=anchors.device))
    logs = None if weights is None else gather(weights).to(anchors.dtype).log()

    def adjust(tile: Tensor, rows: slice, columns: slice) -> None:
        not_itself(tile, rows, columns)
        if logs is not None:
            tile += logs[columns].where(labels[rows, None] != everyone[columns], 0.0)

    total = log_sum_exp(anchors, candidates, temperature, adjust)
    has_positive = count > 0
    per_anchor: Tensor = torch.where(has_positive, total - alike / count.clamp_min(1), 0.0)
    mean: Tensor = per_anchor.sum() / has_positive.sum().clamp_min(1)
    return mean


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not a finite number above 0.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not (isinstance(temperature, (int, float)) and 0.0 < temperature < math.inf):
        raise InvalidParameter(f"`temperature` must be a finite number above 0; got {temperature!r}. Try 0.5 or 0.1.")


def _equal(ids: Tensor) -> Tensor:
    """``(m,)`` to ``(m, M)``: which rows of all processes have the same number."""
    equal: Tensor = ids[:, None] == gather(ids)
    return equal


def _check_pairs(name: str, left: Tensor, other: str, right: Tensor) -> None:
    if left.ndim != 2 or left.shape != right.shape or len(left) == 0:
        raise InvalidInput(
            f"`{name}` and `{other}` must be matrices of one shape (n, d) with n of 1 or more; "
            f"got {tuple(left.shape)} and {tuple(right.shape)}. Give row i of each the same sample."
        )


def _check_negatives(negatives: Tensor, key: Tensor) -> None:
    if negatives.ndim != 2 or negatives.shape[1] != key.shape[1]:
        raise InvalidInput(
            f"`negatives` must be a matrix (m, {key.shape[1]}); got shape {tuple(negatives.shape)}. "
            "Give one row per negative, from the same projection head."
        )


def _check_rows(name: str, values: Tensor, z: Tensor) -> None:
    if values.shape != (len(z),):
        raise InvalidInput(
            f"`{name}` must have shape ({len(z)},), one value per row; got {tuple(values.shape)}. Give one per row."
        )


def _check_excluded(excluded: Tensor | None, shape: tuple[int, int] | None) -> None:
    if excluded is not None and (excluded.dtype != torch.bool or tuple(excluded.shape) != shape):
        raise InvalidInput(
            f"`excluded` must be a bool matrix, one row per query and one column per row of `negatives`, {shape}; got "
            f"{excluded.dtype} of shape {tuple(excluded.shape)}. Give `negatives` with it."
        )
