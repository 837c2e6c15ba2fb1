"""From a TOML file and options to the keywords of `Detector`; options win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unalike import encoders, objectives, scorers, thresholds
from unalike.branch import FROZEN
from unalike.configuration import read_settings
from unalike.errors import InvalidParameter
from unalike.lookup import named
from unalike.modalities import MODALITIES
from unalike.types import Training

_PARTS: dict[str, Mapping[str, str]] = {
    "encoder": encoders.NAMES,
    "objective": {**objectives.NAMES, FROZEN: ""},
    "scorer": scorers.SCORERS,
}

_OPTIONS = {
    "image": ("on_error", "workers", "network", "weights"),
    "table": ("ignore", "id"),
    "series": ("ignore", "time", "entity", "window", "step", "longest_gap", "scale"),
    "text": ("column", "id", "session", "window", "mask", "encoding", "on_error", "model"),
}
"""Options that are settings of one kind of data."""


def merged(config: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says, and over it the options that are not None.

    Parameters
    ----------
    config : Path, optional
        The TOML file.
    options : mapping
        ``encoder``, ``objective``, ``scorer``: names; the rest are keywords as they are.
    """
    for name, known in _PARTS.items():
        if options.get(name) is not None:
            _check_name(f"--{name}", known, options[name])
    settings = {} if config is None else read_settings(config)
    return {**settings, **{name: value for name, value in options.items() if value is not None}}


def modality(name: str | None, settings: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """The kind of data, with its own settings.

    Parameters
    ----------
    name : str, optional
        Instead of that of the file.
    settings : mapping
        What the file says.
    options : mapping
        Settings of the kind by name; None, or an empty list, leaves what there is.

    Raises
    ------
    InvalidParameter
        When neither names it, the name is unknown, or an option is of another kind of data.
    """
    configured = settings.get("modality")
    if name is None and configured is None:
        raise InvalidParameter(f"`-m` must say the kind of data, one of {sorted(MODALITIES)}; got none. Give -m.")
    kind: Any = configured if name is None or name == getattr(configured, "name", None) else name
    if isinstance(kind, str):
        _check_name("-m", MODALITIES, kind)
        kind = named("-m", MODALITIES, kind)()
    given = {key: value for key, value in options.items() if value not in (None, [])}
    foreign = [key for key in given if key not in _OPTIONS.get(kind.name, ())]
    if foreign:
        kinds = " or ".join(known for known, own in _OPTIONS.items() if foreign[0] in own)
        option = foreign[0].replace("_", "-")
        raise InvalidParameter(f"`--{option}` must go with -m {kinds}; got -m {kind.name}. Leave it out.")
    left_out = given.pop("ignore", [])
    if "step" in given:
        given["step"] = _step(given["step"])
    return without(replace(kind, **given) if given else kind, left_out)


def without(kind: Any, columns: Sequence[str]) -> Any:
    """The kind of data, with further columns that are no data."""
    if not columns or not hasattr(kind, "ignore"):  # of a table of images no column is data
        return kind
    return replace(kind, ignore=tuple(dict.fromkeys((*kind.ignore, *columns))))


def _step(text: str) -> float | str:
    """In the units of the time column where it is a number."""
    try:
        return float(text)
    except ValueError:
        return text


def training(
    configured: Training | Mapping[str, Any] | None, epochs: int | None, steps: int | None
) -> Training | dict[str, Any] | None:
    """What ``--epochs`` or ``--steps`` makes of the training that is configured, or of that of every branch."""
    if epochs is not None and steps is not None:
        raise InvalidParameter(f"`--epochs` and `--steps` both set the length; got {epochs} and {steps}. Give one.")
    if epochs is None and steps is None:
        return configured if configured is None or isinstance(configured, Training) else dict(configured)
    if isinstance(configured, Training):
        return replace(configured, epochs=epochs, steps=steps)
    return {**(configured or {}), "epochs": epochs, "steps": steps}


def threshold(configured: Any, name: str | None, rate: float | None, *, by_entity: bool) -> Any:
    """The kind of threshold with a rate, and one for each entity where entities are given.

    Another kind takes over the false-alarm rate of the configured one, and how many samples an entity needs.

    Parameters
    ----------
    configured : Threshold or str
        Of the file, of the model, or the default.
    name : str, optional
        Instead of it.
    rate : float, optional
        False-alarm rate instead of its own.
    by_entity : bool
        Whether the samples have entities.

    Raises
    ------
    InvalidParameter
        When the name is unknown, needs settings, or has no rate to set.
    """
    kind = configured
    if name is not None:
        kind = name
        _check_name("--threshold", thresholds.THRESHOLDS, name)
        if name == "fixed":
            raise InvalidParameter("`--threshold` fixed needs its value. Give a file by --config with [threshold].")
        if rate is None:
            kind = _with_rate_of(kind, configured)
    if rate is not None:
        kind = _with_rate(kind, rate)
    if by_entity and not getattr(_made(kind), "takes_entities", False):
        kind = thresholds.PerEntity(each=kind)
    return kind if name is None else _with_least_of(kind, configured)


def _with_rate_of(kind: Any, configured: Any) -> Any:
    """The new kind at the configured rate; as it is where either has none, or they are the same."""
    rate = _rate(_made(configured))
    return kind if rate is None or not _has_rate(_made(kind)) or rate == _rate(_made(kind)) else _with_rate(kind, rate)


def _with_least_of(kind: Any, configured: Any) -> Any:
    made, before = _made(kind), _made(configured)
    both = isinstance(made, thresholds.PerEntity) and isinstance(before, thresholds.PerEntity)
    return replace(made, least=before.least) if both and made.least != before.least else kind


def _check_name(option: str, known: Mapping[str, str], name: str) -> None:
    if name not in known:
        raise InvalidParameter(f"`{option}` must be one of {sorted(known)}; got {name!r}.")


def _rate(made: Any) -> Any:
    return getattr(_made(made.each) if isinstance(made, thresholds.PerEntity) else made, "false_alarm_rate", None)


def _has_rate(made: Any) -> bool:
    inner = _made(made.each) if isinstance(made, thresholds.PerEntity) else made
    return "false_alarm_rate" in [field.name for field in fields(inner)]


def _with_rate(kind: Any, rate: float) -> Any:
    made = _made(kind)
    if isinstance(made, thresholds.PerEntity):
        return thresholds.PerEntity(each=_with_rate(made.each, rate), least=made.least)
    if not _has_rate(made):
        raise InvalidParameter(
            f"`--false-alarm-rate` must go with a threshold that has one; got {made!r}. Leave it out."
        )
    settings = {"false_alarm_rate": rate} | ({"sigmas": None} if hasattr(made, "sigmas") else {})
    return replace(made, **settings)


def _made(kind: Any) -> Any:
    """An object, whether it was a name or one already."""
    return thresholds.build_threshold(kind)
