"""From a file to a fitted detector."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor, nn

from unalike.branch import FittedBranch
from unalike.detector import Detector
from unalike.errors import CannotLoad, InvalidParameter, MissingExtra
from unalike.judging import Judge, blank_encoder
from unalike.persistence import archive, parity
from unalike.persistence.absent import unavailable
from unalike.persistence.codec import Unpacker
from unalike.scorers.adapter import Outlier
from unalike.types import Branch, Schema

_PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
_SUGAR = "main"
"""The branch that `Detector(encoder=..., scorer=...)` makes."""


def load(
    path: str | os.PathLike[str],
    *,
    encoder: Any = None,
    scorer: Any = None,
    modality: Any = None,
    threshold: Any = None,
    device: str | None = None,
    check_parity: bool = True,
) -> Detector:
    """Read a saved detector; it gives bit-equal scores.

    Nothing that is in the file is executed (see `unalike.persistence.codec`).

    Parameters
    ----------
    path : str or Path
        A file or directory that `save` wrote.
    encoder, scorer : object or mapping of str to object, optional
        Parts of yours that the model names but cannot hold: an encoder (module or settings, of the shape that
        was saved) takes its weights from the file, a scorer its state; an outlier detector of PyOD's or
        scikit-learn's, with the settings that it had, is fitted again on the embeddings in the file. One for all
        branches that need one, or by name of branch. They are copied.
    modality, threshold : object, optional
        Likewise.
    device : str, optional
        Instead of the detector's setting.
    check_parity : bool
        Whether to compare the scores of the parity samples with those that they had at `save`.

    Returns
    -------
    Detector
        Fitted. Views and objectives of yours come back as names (`unalike.persistence.Unavailable`); set them
        anew before you fit again.

    Raises
    ------
    CannotLoad
        The model is not there, damaged, foreign or of a newer format; it needs a part of yours; or it gives
        other scores here than where it was saved, by more than 1e-5.
    InvalidParameter
        A part was given that the model does not need.
    MissingExtra
        The model needs a library that is not installed.
    """
    manifest, entries = archive.read(path)
    given = _Given(str(path), {"encoder": encoder, "scorer": scorer, "modality": modality, "threshold": threshold})
    try:
        loader = _Loader(entries, given)
        detector = loader.detector(manifest)
        if device is not None:
            detector.device = device
        given.check_needed(loader.needed)
        if check_parity:
            parity.check(detector, loader.unpacker.value(manifest["parity"]), str(path))
    except (CannotLoad, MissingExtra, _NotNeeded):
        raise
    except Exception as error:  # a hash does not vouch for contents, which can be wrong in any way
        raise CannotLoad(
            f"{str(path)!r} must hold parts that fit together; they do not ({type(error).__name__}: {error}). Save the "
            "model again, and give parts of yours as they were."
        ) from error
    return detector


class _NotNeeded(InvalidParameter):
    """A part was given that the model does not need."""


Place = tuple[str, str | None]
"""Kind of a part and name of its branch."""


class _Given:
    """The parts of the user's that `load` was given, by kind."""

    def __init__(self, path: str, parts: Mapping[str, Any]) -> None:
        self.path = path
        self.parts = parts

    def part(self, place: Place) -> Any:
        """The given part for a place, or None."""
        kind, branch = place
        part = self.parts[kind]
        return copy.deepcopy(part.get(branch) if isinstance(part, Mapping) else part)

    def required(self, place: Place, name: str) -> Any:
        """The given part for what the model calls `name`."""
        part = self.part(place)
        if part is not None:
            return part
        kind, branch = place
        where, example = ("", "...") if branch is None else (f" of branch {branch!r}", f"{{{branch!r}: ...}}")
        held = "weights" if kind == "encoder" else "state"
        raise CannotLoad(
            f"{self.path!r} needs your {kind} {name}{where}: a model file holds its name and {held}, not its code. "
            f"Give it: load({self.path!r}, {kind}={example})."
        )

    def check_needed(self, needed: set[Place]) -> None:
        """Refuse a part that no place of the model asks for: it would be ignored without a word."""
        for kind, part in self.parts.items():
            branches = {branch for wanted, branch in needed if wanted == kind}
            unknown = sorted(set(part) - branches) if isinstance(part, Mapping) else []
            if part is not None and (unknown or not branches):
                raise _NotNeeded(
                    f"`{kind}` must be given where {self.path!r} names a part of yours, {sorted(map(str, branches))}; "
                    f"got one{f' for {unknown}' if unknown else ''}. Leave it out."
                )


class _Loader:
    """Builds the detector from the outside in; `needed` collects where parts of the user's belong."""

    def __init__(self, entries: Mapping[str, bytes], given: _Given) -> None:
        self.unpacker = Unpacker(safetensors.numpy.load(entries["arrays.safetensors"]), entries)
        self.weights = safetensors.torch.load(entries["weights.safetensors"])
        self.given = given
        self.needed: set[Place] = set()
        self.same_weights: Mapping[str, str] = {}
        self.encoders: dict[str, nn.Module] = {}

    def detector(self, manifest: Mapping[str, Any]) -> Detector:
        detector = Detector(**self._settings(manifest["detector"]))
        detector.modality_ = self._part(manifest["modality"], ("modality", None))
        schema = detector.modality_.schema
        self.same_weights = manifest.get("same_weights", {})
        detector.branches_ = tuple(
            self._branch(packed, f"branch/{number}", schema) for number, packed in enumerate(manifest["branches"])
        )
        detector.fusion_ = self._part(manifest["fusion"], ("fusion", None))
        detector.history_ = {b.settings.name: b.history for b in detector.branches_ if b.history}
        if manifest["threshold"] is not None:
            detector.threshold_ = self._part(manifest["threshold"], ("threshold", None))
        for name, value in self.unpacker.value(manifest["learned"]).items():
            if not name.endswith("_") or name.startswith("_"):
                raise ValueError(f"{name!r} names nothing that a detector learns")
            setattr(detector, name, value)
        return detector

    def _settings(self, packed: Any) -> dict[str, Any]:
        """The detector's keywords, with the given parts where they belong; without one, its name stays."""
        settings: dict[str, Any] = self.unpacker.value(packed)
        for kind, branch in (("encoder", _SUGAR), ("scorer", _SUGAR), ("modality", None), ("threshold", None)):
            settings[kind] = self._filled(settings[kind], (kind, branch))
        if settings["branches"] is not None:
            branches = [self._filled_branch(branch) for branch in settings["branches"]]
            settings["branches"] = type(settings["branches"])(branches)
        return settings

    def _filled_branch(self, branch: Branch) -> Branch:
        encoder = self._filled(branch.encoder, ("encoder", branch.name))
        return replace(branch, encoder=encoder, scorer=self._filled(branch.scorer, ("scorer", branch.name)))

    def _filled(self, part: Any, place: Place) -> Any:
        if unavailable(part) is None:
            return part
        self.needed.add(place)
        given = self.given.part(place)
        return part if given is None else _in_place_of(part, given)

    def _required(self, part: Any, place: Place) -> Any:
        name = unavailable(part)
        if name is None:
            return part
        self.needed.add(place)
        return _in_place_of(part, self.given.required(place, name))

    def _part(self, packed: Mapping[str, Any], place: Place) -> Any:
        part = self._required(self.unpacker.value(packed["settings"]), place)
        part.restore(self.unpacker.value(packed["state"]))
        return part

    def _branch(self, packed: Mapping[str, Any], place: str, schema: Schema) -> FittedBranch:
        settings = self.unpacker.value(packed["settings"])
        settings = replace(settings, encoder=self._required(settings.encoder, ("encoder", settings.name)))
        trained = self._judge(packed["trained"], f"{place}/trained", settings, schema)
        floor = packed["untrained"]
        untrained = None if floor is None else self._judge(floor, f"{place}/untrained", settings, schema)
        history = self.unpacker.value(packed["history"])
        return FittedBranch(self._filled_branch(settings), trained, untrained, history)

    def _judge(self, packed: Mapping[str, Any], place: str, settings: Branch, schema: Schema) -> Judge:
        scorer = self._part(packed["scorer"], ("scorer", settings.name))
        if place in self.same_weights:
            return Judge(self.encoders[self.same_weights[place]], scorer)
        encoder = blank_encoder(settings, schema).to(_PRECISIONS[packed["precision"]])
        encoder.load_state_dict(self._weights_of(place), assign=True)
        self.encoders[place] = _frozen(encoder)
        return Judge(self.encoders[place], scorer)

    def _weights_of(self, place: str) -> dict[str, Tensor]:
        # Copies of their own: kernels may choose their path, and so the last bit, by how memory is aligned.
        own = {name: values for name, values in self.weights.items() if name.startswith(f"{place}/")}
        return {name.removeprefix(f"{place}/"): values.clone() for name, values in own.items()}


def _in_place_of(part: Any, given: Any) -> Any:
    """What the user gave; an outlier detector in the wrapper that it was saved in."""
    if not isinstance(part, Outlier):
        return given
    return replace(part, detector=given.detector if isinstance(given, Outlier) else given)


def _frozen(encoder: nn.Module) -> nn.Module:
    return encoder.eval().requires_grad_(False)
