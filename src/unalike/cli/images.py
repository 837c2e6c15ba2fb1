"""What the command line has for images alone: paths in tables, values from file names, files that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unalike import reading
from unalike.data import aligned
from unalike.decisions import Decisions, Explanations
from unalike.errors import InvalidInput, InvalidParameter
from unalike.types import Collection, Skipped

if TYPE_CHECKING:
    from rich.console import Console

    from unalike.detector import Detector

NEAR_COPIES = "near-copies"
"""What ``--groups`` may say instead of a source: find them in the pictures."""

_MOST_SHOWN = 10


def is_of_images(kind: Any) -> bool:
    """Whether the modality reads images."""
    return getattr(kind, "name", None) == "image"


def may_skip(kind: Any) -> bool:
    """Whether the modality leaves out what cannot be read, where it is told to."""
    return hasattr(kind, "on_error")


def write_pictures(detector: Detector, X: Collection, explanations: Explanations, folder: Path, only: Any) -> None:
    """Heat maps over the images, or texts with marked words, of those that `only` names.

    Raises
    ------
    InvalidParameter
        The model is neither of images nor of texts.
    """
    from unalike.explanation import write_marked, write_overlays
    from unalike.types import Worded

    modality: Any = detector.modality_
    if isinstance(modality, Worded):
        write_marked(modality.check(X), explanations, folder, only=only)
        return
    if not is_of_images(modality):
        raise InvalidParameter(
            "`--pictures` must go with a model of images or texts; this one is of other data. Leave it out."
        )
    limit = None if not hasattr(detector, "threshold_") else float(detector.threshold_.threshold_)
    write_overlays(modality, X, explanations, folder, only=only, threshold=limit)


def read_images(path: Path) -> Collection:
    """A table of paths, which become absolute or relative to where we are; anything else stays a path."""
    if not (reading.is_table(path) and reading.existing(path).is_file()):
        return reading.existing(path)
    import pyarrow as pa

    table = reading.read_table(path)
    name = reading.path_column(table.column_names)
    paths = [str(found) for found in reading.paths_in_table(table, path.parent)]
    return table.set_column(table.column_names.index(name), name, pa.array(paths))


def paths_of(data: Collection) -> list[Path] | None:
    """The files that `data` names, where it does."""
    if isinstance(data, list):
        return data
    if isinstance(data, Path) and data.suffix.lower() != ".npy":
        return reading.image_paths(data)
    has_paths = hasattr(data, "column_names") and any(
        name.lower() in reading.PATH_COLUMNS for name in data.column_names
    )
    return reading.paths_in_table(data) if has_paths else None


def is_pattern(source: str) -> bool:
    """Whether an option holds a regular expression that takes a part of a path."""
    return "(" in source and ")" in source and not Path(source).is_file()


def values_from_names(images: Sequence[Path], pattern: str, option: str) -> npt.NDArray[Any]:
    """What the first group of a regular expression takes of each path.

    Raises
    ------
    InvalidParameter
        When the pattern is none, or has no group.
    InvalidInput
        When a path does not have it.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidParameter(f"`{option}` {pattern!r} must be a regular expression; it is not: {error}.") from error
    if compiled.groups < 1:
        raise InvalidParameter(f"`{option}` {pattern!r} must have a part in round brackets, which is the value.")
    found = [compiled.search(path.as_posix()) for path in images]
    lacking = [str(path) for path, match in zip(images, found, strict=True) if match is None or match.group(1) is None]
    if lacking:
        raise InvalidInput(
            f"`{option}` {pattern!r} must match every path; got {lacking[:3]} ({len(lacking)} images) that it does not."
        )
    return np.array([match.group(1) for match in found if match is not None])


def groups_of_near_copies(data: Collection, kind: Any) -> list[int]:
    """One code per image, as `unalike.find_groups` gives them."""
    from unalike.modalities.grouping import find_groups

    codes: list[int] = find_groups(data, kind).tolist()
    return codes


def read_as(detector: Detector, on_error: str | None, workers: int | None) -> None:
    """Have the images or texts of this command read so, whatever the model says.

    Raises
    ------
    InvalidParameter
        When the model is of other data.
    """
    given = {"on_error": on_error, "workers": workers}
    for name, value in given.items():
        if value is not None:
            if not hasattr(detector.modality_, name):
                option = name.replace("_", "-")
                kinds = "images or texts" if name == "on_error" else "images"
                raise InvalidParameter(
                    f"`--{option}` must go with a model of {kinds}; got one of {detector.modality_.name}. Leave it out."
                )
            setattr(detector.modality_, name, value)
    if may_skip(detector.modality_):
        detector.modality_.__post_init__()  # type: ignore[attr-defined]


def checked(detector: Detector, data: Collection, flags: Any) -> tuple[Collection, Any]:
    """Images or texts that can be read, and their labels; anything else as it is."""
    if not may_skip(detector.modality_):
        return data, flags
    images = detector.modality_.check(data)
    kept = aligned(flags, images, "labels")
    return images, flags if kept is flags else np.array(kept)


def columns(decisions: Decisions) -> dict[str, Any]:
    """What `detect` writes: a row for each decision and, in the order of the data, for each image without one.

    Where images could not be read there is one more column, ``error``; the others are empty in such rows.
    """
    found = decisions.to_dict()
    if not decisions.skipped or decisions.rows is None:
        return found
    order = np.argsort(np.concatenate([decisions.rows, [sample.row for sample in decisions.skipped]]), kind="stable")
    more = len(decisions.skipped)
    empty: dict[str, list[Any]] = {
        "id": [sample.id for sample in decisions.skipped],
        "score": [np.nan] * more,
        "p_value": [np.nan] * more,
        "is_anomaly": [None] * more,
    }
    joined = {name: np.array([*values.tolist(), *empty[name]])[order] for name, values in found.items()}
    reasons = [*[""] * len(decisions), *(sample.reason for sample in decisions.skipped)]
    return {**joined, "error": np.array(reasons)[order]}


def show_skipped(console: Console, skipped: Sequence[Skipped], kind: Any = None) -> None:
    """How many images or texts could not be read, and the first of them."""
    if not skipped:
        return
    console.print(
        f"{len(skipped)} {'images' if is_of_images(kind) else 'texts'} could not be read and are left out:",
        soft_wrap=True,
    )
    for sample in skipped[:_MOST_SHOWN]:
        console.print(f"  {sample.id}: {sample.reason}", soft_wrap=True)
    if len(skipped) > _MOST_SHOWN:
        console.print(f"  and {len(skipped) - _MOST_SHOWN} more")
