"""The contract, told once: every shape that passes between two stages.

The way of the data is ``X -> check -> split -> modality.fit -> cut -> tensors -> views -> encoder
-> objective`` (learn), ``-> embeddings -> scorer -> tails -> fusion -> join`` (judge) and
``-> threshold -> decisions`` (decide).  Each stage is a Protocol here; an object of the right shape
is enough, nothing is registered.

Two kinds of object meet in these Protocols. *Settings* are frozen dataclasses: inert, comparable,
printable and storable as JSON. *Modules* are ``torch.nn.Module`` that hold weights. Settings that
describe a network have a method ``build`` that makes the module once the shape of the data is known
(docs/decisions/0002).

Higher score = more anomalous, everywhere.  ``n`` is a number of samples (or of parts, where one
sample was cut into several), ``d`` the width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from unalike.seeding import RowGenerator

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Collection = Any
"""What holds many samples: list, array, DataFrame, list of paths. `unalike.data` counts, takes and splits it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples on their way through a network.

    Parameters
    ----------
    data : Tensor
        ``(n, ...)``: images ``(n, channels, height, width)``; series ``(n, channels, length)``;
        tables ``(n, columns, 2)``, value-or-code and is-missing; texts ``(n, length)`` token ids.
        For an encoder that works on raw values, the raw slice.
    index : Tensor
        ``(n,)`` int64, the row of each sample in the training data. It seeds per-sample randomness,
        so that results do not depend on how rows were batched or sharded.
    group, time, label : Tensor or None
        ``(n,)`` each: near-copies share a `group`; `time` orders samples; `label` is 1 for a labelled
        anomaly and 0 for normal.
    """

    data: Tensor
    index: Tensor
    group: Tensor | None = None
    time: Tensor | None = None
    label: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A sample that could not be read and was left out.

    Parameters
    ----------
    row : int
        Its place in what the user gave.
    id : str
        Its path, or its place as text.
    reason : str
        Why.
    """

    row: int
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What a fitted modality tells an encoder about its tensors.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample's tensor, without the leading ``n``. A size that varies is -1.
    levels : tuple of int
        Tables: for each column the number of codes of a categorical one (code 0 = unseen), 0 for a
        numeric one. Texts: the size of the vocabulary. Else empty.
    """

    shape: tuple[int, ...]
    levels: tuple[int, ...] = ()


@runtime_checkable
class Stateful(Protocol):
    """What can be saved without pickle.

    Our scorers, thresholds and modalities are dataclasses: their fields are the settings, and what `fit`
    learned is in attributes that end in ``_``. ``state()`` gives the learned part as a flat dict whose
    values are JSON values (None, bool, int, float, str, lists and dicts of them), numpy arrays without
    objects, or bytes; ``restore(state)`` puts it into a new object made from the same settings, which
    then scores bit-equal.
    """

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class View(Protocol):
    """A random change that leaves a normal sample normal.

    Called on a batch tensor, it returns a new tensor of ``n`` samples, on the same device, and never
    changes its input. All randomness comes from `generator`, whose row ``i`` depends only on the seed
    and on the index of sample ``i``. Ours are frozen dataclasses. Optional: ``prepare(sample) -> View``
    returns a copy that knows the training data (`sample`: ``(m, ...)`` tensor), for views that draw
    values from it.
    """

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor: ...


@runtime_checkable
class Encoder(Protocol):
    """A ``torch.nn.Module``, ``(n, ...) -> (n, width)``.

    Optional: ``prepare(sample)`` fits what is not learned by gradient (a scaling), once, before
    training; ``locations(data) -> (n, places, width)`` with attribute ``grid``; ``stem``, the name of a
    frozen part whose outputs may be cached, and ``rest``, that of the part, with a ``width``, that makes embeddings of
    them; ``levels``, as `Schema.levels`, for an objective that treats categories in its own way; ``background() ->
    (b, ...)``, the same each time: samples of no kind, for a scorer that compares with them.
    """

    width: int

    def __call__(self, data: Tensor) -> Tensor: ...


@runtime_checkable
class EncoderSettings(Protocol):
    """Describes an encoder; `build` makes it.

    Weights are drawn from torch's generator, which the caller seeds and restores (`seeding.isolated`).
    The shapes of its parameters and buffers depend on the settings and the schema only, so that a saved
    encoder is rebuilt from both and then takes its weights.
    """

    def build(self, schema: Schema) -> nn.Module: ...


@runtime_checkable
class Objective(Protocol):
    """The contrastive method: how pairs are drawn and what is paid.

    A ``torch.nn.Module`` that *contains* the network it trains (``objective.encoder``), so that DDP
    wraps one module with one forward per step. Called, it gives the scalar loss of a batch. Optional:
    ``prepare(sample)`` once before training; ``after_step()`` once per optimiser step;
    ``score(batch) -> (n,)`` when the method has a score of its own; ``pairs(batch, views, generator)``
    and ``loss(z, batch)`` apart, where gradient caching is wanted: `z` is what `encoder`, then `head` where there is
    one, make of the pairs, row by row.

    In evaluation mode the call leaves no trace: it is how the loss of held-out rows is watched. What training
    changes lies in parameters and buffers; a checkpoint holds nothing else, and `prepare` is called before one is
    read. Where there are labelled anomalies, ``batch.label`` is set in every training batch.
    """

    encoder: nn.Module

    def __call__(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor: ...


@runtime_checkable
class ObjectiveSettings(Protocol):
    """Describes an objective; `build` puts the encoder into it.

    A plain callable ``encoder -> objective`` (a class of the user's) does as well.
    """

    def build(self, encoder: nn.Module) -> nn.Module: ...


@runtime_checkable
class Scorer(Protocol):
    """How unlike the normal embeddings is an embedding?

    ``fit(embeddings, reference=None, groups=None)`` learns from ``(n, d)`` normal embeddings and sets
    `reference_scores_` ``(m,)``, what `tails` compares with. They never come from rows it has memorised:
    the scores of `reference` ``(m, d)`` when given, else leave-one-out or cross-fit, leaving out whole
    `groups` when given. ``score(embeddings) -> (n,)`` float64. A scorer knows no threshold. Optional: a parameter
    `anomalies` of ``fit``, ``(a, d)`` embeddings of labelled ones, given where the user has some; a parameter
    `background`, ``(b, d)`` embeddings of what the encoder offers as neither normal nor anomalous.
    """

    reference_scores_: FloatArray

    def fit(
        self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None
    ) -> Scorer: ...

    def score(self, embeddings: FloatArray) -> FloatArray: ...


class PlaceEmbeddings(Protocol):
    """Embeddings of the places of ``n`` samples: an array ``(n, places, width)``, or what makes parts of one on demand.

    Positions ``(m,)`` give ``(m, places, width)``. All places of many images are more than memory holds.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, positions: IntArray, /) -> FloatArray: ...


@runtime_checkable
class PlaceScorer(Protocol):
    """A scorer that judges samples place by place, such as images; it says so with ``judges_places = True``.

    As `Scorer`, of `PlaceEmbeddings` that the encoder's ``locations`` makes, in the order of its ``grid``.
    ``places(embeddings) -> (n, places)`` are scores of the places and ``joined(places) -> (n,)`` what `score` makes of
    them: at most the largest.
    """

    judges_places: ClassVar[bool]
    reference_scores_: FloatArray

    def fit(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> PlaceScorer: ...

    def score(self, embeddings: PlaceEmbeddings) -> FloatArray: ...

    def places(self, embeddings: PlaceEmbeddings) -> FloatArray: ...

    def joined(self, places: FloatArray) -> FloatArray: ...


@runtime_checkable
class Threshold(Protocol):
    """Turns scores into alarms.

    ``fit(calibration_scores)`` on held-out normal data always works; `threshold_` is the largest score
    that is still normal; ``p_values(scores) -> (n,)``, small = anomalous; ``is_anomaly(scores) -> (n,)``
    bool; `false_alarm_rate_` is the rate in force, and None when the kind of threshold promises none. Where it
    promises one, ``is_anomaly(scores)`` is ``p_values(scores) <= false_alarm_rate_``. Optional: ``at(rate)``, the same
    calibration at another rate; ``samples_needed``, the fewest calibration samples by which it can decide, known before
    `fit`; `EntityThreshold`.
    """

    @property
    def threshold_(self) -> float: ...

    @property
    def false_alarm_rate_(self) -> float | None: ...

    def fit(self, calibration_scores: FloatArray) -> Threshold: ...

    def p_values(self, scores: FloatArray) -> FloatArray: ...

    def is_anomaly(self, scores: FloatArray) -> BoolArray: ...


class EntityThreshold(Threshold, Protocol):
    """A threshold that judges each score by the entity (machine, customer) that it is of.

    It says so with ``takes_entities = True`` and is given `entities`, ``n`` strings or ints, wherever the user gave
    some; None means that they are not known.
    """

    takes_entities: ClassVar[bool]

    def fit(self, calibration_scores: FloatArray, entities: Sequence[Any] | None = None) -> EntityThreshold: ...

    def p_values(self, scores: FloatArray, entities: Sequence[Any] | None = None) -> FloatArray: ...

    def is_anomaly(self, scores: FloatArray, entities: Sequence[Any] | None = None) -> BoolArray: ...


@runtime_checkable
class Modality(Protocol):
    """All that is special to one kind of data.

    ``check(X)`` reads what can be read lazily (a folder becomes a list of paths), refuses what cannot
    be used and returns a collection of samples; once fitted it also holds `X` against what was learned.
    ``fit(X)`` learns the schema and scales from training samples. ``cut(X) -> parts, owner``: a collection
    of parts and the ``(n_parts,)`` number of the sample that each belongs to; ``tensors(parts)`` makes a
    batch tensor from *some* parts, so that memory does not grow with the data; ``join(scores, owner, n)``
    brings part scores ``(n_parts,)`` back to ``(n,)``. A part may cover a run of samples; then `owner` is
    ``(n_parts, 2)``, the first of them and the one after the last. ``ids(X)``: one name per sample. `branches`: the
    tuned default pipeline of this kind of data; `view`: what its objectives contrast under by default. Optional:
    ``labelled_branches()``, what joins the default pipeline where the user gave labelled anomalies; ``fusion``, how the
    scores of branches are joined (`scorers.Fusion`).
    """

    name: str

    @property
    def schema(self) -> Schema: ...

    def check(self, X: Any) -> Collection: ...

    def fit(self, X: Collection) -> Modality: ...

    def cut(self, X: Collection) -> tuple[Collection, IntArray]: ...

    def tensors(self, parts: Collection) -> Tensor: ...

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray: ...

    def ids(self, X: Collection) -> npt.NDArray[Any]: ...

    def branches(self) -> tuple[Branch, ...]: ...

    def view(self) -> View: ...


@runtime_checkable
class InTime(Protocol):
    """What a modality has besides when its samples are steps of records, one after the other.

    ``split(X, reference, calibration)`` gives a `unalike.data.Split` into blocks of time with gaps between them;
    ``timing(parts) -> time, block``: ``(n_parts,)`` each, where a part begins, in steps, and the block of time that it
    is in; ``timeline(X) -> entity, step``: ``(n,)`` each, whose record a sample is in and its number there;
    ``fingerprints(X) -> (n,)`` uint64, equal for equal samples that follow upon equal ones; ``whole(X, positions)``:
    those of the positions that are in runs long enough for a part, or that are all there is of a record.
    """

    def split(self, X: Collection, reference: float, calibration: float) -> Any: ...

    def timing(self, parts: Collection) -> tuple[IntArray, IntArray]: ...

    def timeline(self, X: Collection) -> tuple[npt.NDArray[Any], IntArray]: ...

    def fingerprints(self, X: Collection) -> npt.NDArray[np.uint64]: ...

    def whole(self, X: Collection, positions: IntArray) -> IntArray: ...


class StepModality(Modality, InTime, Protocol):
    """Both; ``told(sample, entity)`` tells an encoded part in the units of an entity (see `Places`)."""

    def told(self, sample: Tensor, entity: str = "") -> FloatArray: ...


@runtime_checkable
class Places(Protocol):
    """What a modality has besides when `Detector.explain` can name places in its samples, as the columns of a table.

    Of a modality with one part per sample. Samples are encoded, ``(*shape)`` each: ``places()`` names them;
    ``spread(chosen) -> (n, *shape)`` bool, or what broadcasts to it, from ``(n, places)`` bool; ``contrasts(sample,
    rows) -> (m, places)``, the squared difference of a sample from ``(m, *shape)`` rows in each place;
    ``typical(rows) -> (..., *shape)``, what ``(..., k, *shape)`` normal samples have in each place. ``values(X)``: for
    each sample of checked `X`, place by place, the content as the user gave it; ``told(sample)``: likewise of an
    encoded one.
    """

    def places(self) -> tuple[str, ...]: ...

    def spread(self, chosen: Tensor) -> Tensor: ...

    def contrasts(self, sample: Tensor, rows: Tensor) -> Tensor: ...

    def typical(self, rows: Tensor) -> Tensor: ...

    def values(self, X: Collection) -> Sequence[Sequence[Any]]: ...

    def told(self, sample: Tensor) -> Sequence[Any]: ...


@runtime_checkable
class Pictured(Protocol):
    """What a modality has besides when its samples are pictures, which `Detector.explain` makes heat maps of.

    ``boxes(X) -> (n_parts, 4)``: for each part that ``cut`` makes of checked `X` the first row and column that it
    covers in the sample, and those after the last; together the parts cover each sample. ``pixels(X)``: the
    ``(channels, height, width)`` of the only sample of checked `X`, as the user gave it.
    """

    def check(self, X: Any) -> Collection: ...

    def cut(self, X: Collection) -> tuple[Collection, IntArray]: ...

    def boxes(self, X: Collection) -> IntArray: ...

    def pixels(self, X: Collection) -> npt.NDArray[Any]: ...

    def tensors(self, parts: Collection) -> Tensor: ...

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray: ...

    def ids(self, X: Collection) -> npt.NDArray[Any]: ...


@runtime_checkable
class Worded(Protocol):
    """What a modality has besides when its samples are texts, whose words `Detector.explain` names.

    ``spans(X)``: for each sample of checked `X`, a text, where the parts that ``cut`` makes of it lie in the text as it
    is encoded: the first character and the one after the last. ``given_spans(text, spans)``: where such spans, none of
    them empty, lie in the text as the user gave it.
    """

    def check(self, X: Any) -> Collection: ...

    def spans(self, X: Collection) -> Sequence[Sequence[tuple[int, int]]]: ...

    def given_spans(self, text: str, spans: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]: ...

    def cut(self, X: Collection) -> tuple[Collection, IntArray]: ...

    def tensors(self, parts: Collection) -> Tensor: ...

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray: ...

    def ids(self, X: Collection) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of the one training loop.

    Parameters
    ----------
    epochs : int, optional
        At most so many passes over the training rows.
    steps : int, optional
        At most so many optimiser steps. With neither given, training takes 50 epochs.
    batch_size : int
        Samples per step. Fewer rows than this train as one batch.
    optimizer : {"adam", "adamw", "sgd"}
        SGD has momentum 0.9.
    learning_rate, weight_decay : float
        Of the optimiser.
    warmup : float
        Share of the steps in which the rate rises linearly from 0; then it falls to 0 on a cosine.
    precision : str
        As Lightning Fabric names it, for example ``"32-true"`` or ``"bf16-mixed"``. Mixed: the network computes in
        16 bits, weights, views and losses stay in 32.
    gradient_clip : float, optional
        Largest norm of a step's gradient, above 0; None: not clipped.
    chunk_size : int, optional
        Rows that go through the network at a time (gradient caching), for batches whose activations do not fit into
        memory: the gradient is that of the whole batch, for a second forward pass. Views count as rows. For objectives
        with `pairs` and `loss`, such as SimCLR. None: all at once.
    accumulate : int
        Batches per optimiser step; the gradient is that of their mean loss. `steps`, `warmup` and the schedule count
        optimiser steps. What contrasts rows with each other still does so within one batch.
    patience : int, optional
        Stop after so many epochs in a row without a lower loss on held-out rows, and keep the best epoch's weights.
        None: train to the end and hold nothing out.
    held_out : float
        With `patience`: share of the training rows (at most 2,000) that take no step, so that their loss tells. Only
        scales, categories and views that draw values from the training rows know them.
    checkpoint_every : float
        Seconds between two checkpoints, where there are any; 0 = after every optimiser step.
    fixed_views : int, optional
        With an encoder whose `stem` is frozen: so many views of each sample are drawn once, what the stem gives for
        them is kept on disk (at most 4 GiB), and every step trains the rest on two of them. None: new views each time.
    cache : str, optional
        With `fixed_views`: folder in which that is kept for later fits of the same; made when it is not there, and safe
        to delete at any time. None: a temporary folder.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed"] = "32-true"
    gradient_clip: float | None = None
    chunk_size: int | None = None
    accumulate: int = 1
    patience: int | None = None
    held_out: float = 0.1
    checkpoint_every: float = 30.0
    fixed_views: int | None = None
    cache: str | None = None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One line from tensors to scores: views, encoder, objective, scorer.

    Parameters
    ----------
    name : str
        Names the branch in `Detector(switch_off=...)`, results and reports.
    encoder : EncoderSettings, nn.Module or str
        What makes the embedding.
    scorer : Scorer or str
        What judges it.
    objective : ObjectiveSettings, callable or str, optional
        What trains it; None leaves the encoder as it is: frozen, or the raw input.
    views : View, callable or sequence of them, optional
        What the objective contrasts under. None: the modality's default.
    training : Training, optional
        None: the detector's.
    weight : float
        Of its tail score in the fusion.
    agreement : float, optional
        In [-1, 1]: the branch counts only when its reference scores have at least this rank correlation with
        those of the first branch. None: it always counts.
    skip : EncoderSettings, nn.Module or str, optional
        An encoder without training, such as the raw input's: the scorer sees its embedding beside the trained one,
        so that training cannot take out what the input tells (`unalike.encoders.skip`).
    skip_weight : float
        How heavily `skip` counts in a squared distance, where the trained embedding counts 1; above 0.
    """

    name: str
    encoder: Any
    scorer: Any = "knn"
    objective: Any = None
    views: View | Callable[..., Any] | Sequence[Any] | None = None
    training: Training | None = None
    weight: float = 1.0
    agreement: float | None = None
    skip: Any = None
    skip_weight: float = 1.0
