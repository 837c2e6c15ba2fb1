"""A detector's settings as a TOML file: exactly the keywords of its constructor.

Parts are named as in code (``"knn"``), or are tables with the class and its settings::

    modality = "image"
    calibration_fraction = 0.3

    [scorer]
    type = "scorers.KNN"
    k = 5

    [training]
    epochs = 10

    [[branches]]
    name = "contrast"
    encoder = { type = "ConvNet", channels = [16, 32] }

TOML has no null: where a setting may be None, ``"none"`` says so. Names are looked up in the stages' literal dicts;
nothing else in a file can cause an import.
"""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, get_type_hints

from unalike import encoders, modalities, objectives, scorers, thresholds, views
from unalike.branch import FROZEN
from unalike.detector import Detector
from unalike.errors import InvalidInput, InvalidParameter
from unalike.hints import NONE, Misfit, did_you_mean, fitted, may_be_none
from unalike.lookup import named
from unalike.plain import plain
from unalike.types import Branch, Training

TYPE = "type"

STAGES: dict[str, Mapping[str, str]] = {
    "encoders": encoders.NAMES,
    "modalities": modalities.MODALITIES,
    "objectives": objectives.NAMES,
    "scorers": {**scorers.SCORERS, "per-block": "unalike.scorers.blocks:PerBlock"},
    "thresholds": thresholds.THRESHOLDS,
    "views": {
        **views.NAMES,
        "compose": "unalike.views.compose:Compose",
        "inject-anomalies": "unalike.objectives.anomalies:InjectAnomalies",
        "spoil-image": "unalike.objectives.spoiling:SpoilImage",
        "synthetic-defect": "unalike.objectives.defects:SyntheticDefect",
    },
}
"""What each stage's parts may be called."""

_STAGE_OF = {
    "modality": "modalities",
    "encoder": "encoders",
    "objective": "objectives",
    "scorer": "scorers",
    "threshold": "thresholds",
    "views": "views",
    "each": "thresholds",
    "shifts": "views",
    "injection": "views",
    "spoil": "views",
    "defect": "views",
    "bank": "scorers",
    "gaussians": "scorers",
}
"""Stage of what a keyword or a field of that name holds."""

_NAMED = ("modality", "encoder", "objective", "scorer", "threshold", "views")
"""Keywords whose text is the name of a part; elsewhere, text may mean something else."""


def read_settings(path: str | PathLike[str]) -> dict[str, Any]:
    """The keywords of `Detector` that a TOML file holds: ``Detector(**read_settings(path))``.

    Parameters
    ----------
    path : str or Path
        See the module's text for the form.

    Returns
    -------
    dict of str to object
        Only what the file names.

    Raises
    ------
    InvalidInput
        When there is no such file, or it is not TOML.
    InvalidParameter
        When a key, a type or a value cannot be used; the message tells the place and the known ones.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError as error:
        raise InvalidInput(f"`config` must be a TOML file; got {str(path)!r}, where there is nothing.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"`config` must be a TOML file; {str(path)!r} is not: {error}.") from error
    hints = get_type_hints(Detector.__init__)
    hints["random_state"] = int | None
    _check_known(content, keywords(), str(path), "")
    return {key: _Place(str(path), key).keyword(key, value, hints[key]) for key, value in content.items()}


def keywords() -> list[str]:
    """The constructor's, in its order."""
    return list(inspect.signature(Detector).parameters)


@dataclass(frozen=True)
class _Place:
    """Where in which file a value stands, for the errors."""

    file: str
    name: str

    def at(self, inner: str) -> _Place:
        return _Place(self.file, f"{self.name}{inner}")

    def refuse(self, message: str) -> InvalidParameter:
        return InvalidParameter(f"{self.file}: `{self.name}` {message}")

    def keyword(self, key: str, value: Any, hint: Any) -> Any:
        """The value of a keyword of `Detector` or of `Branch`."""
        if key == "branches":
            return self._branches(value)
        if key == "training":
            return self._training(value)
        if key in _NAMED:
            return self._part(key, value)
        return self._plain(key, value, hint)

    def _branches(self, value: Any) -> list[Branch]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refuse(f"must be tables, each headed [[branches]]; got {value!r}.")
        return [self.at(f"[{number}]")._branch(item) for number, item in enumerate(value)]

    def _branch(self, table: Mapping[str, Any]) -> Branch:
        known = _settable(Branch)
        hints = get_type_hints(Branch)
        _check_known(table, list(known), self.file, self.name)
        self._check_complete(Branch, table)
        made = {key: self.at(f".{key}").keyword(key, value, hints[key]) for key, value in table.items()}
        if isinstance(made.get("training"), dict):
            made["training"] = Training(**made["training"])
        return Branch(**made)

    def _training(self, value: Any) -> Training | dict[str, Any]:
        """A table of fields is a mapping, which changes these fields only; with ``type``, whole settings."""
        if not isinstance(value, dict):
            raise self.refuse(f"must be a table of {sorted(_settable(Training))}; got {value!r}.")
        if value.get(TYPE, "Training") != "Training":
            raise self.at(f".{TYPE}").refuse(f"must be 'Training' or be left out; got {value[TYPE]!r}.")
        settings = self._fields(Training, {key: item for key, item in value.items() if key != TYPE})
        return Training(**settings) if TYPE in value else settings

    def _part(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return FROZEN if (key, value) == ("objective", FROZEN) else self._name(_STAGE_OF[key], value)
        if isinstance(value, list) and key == "views":
            return [self.at(f"[{number}]")._part(key, item) for number, item in enumerate(value)]
        if not isinstance(value, dict):
            raise self.refuse(f"must be the name of a part or a table with its {TYPE!r}; got {value!r}.")
        return self._made(_STAGE_OF[key], value)

    def _name(self, stage: str, name: str) -> str:
        """The short name; classes may be called as in code, with their stage or without."""
        wanted = name.removeprefix(f"{stage}.")
        for short, entry in STAGES[stage].items():
            if wanted in (short, entry.rpartition(":")[2]):
                return short
        raise self.refuse(f"must be one of {sorted(STAGES[stage])}; got {name!r}.")

    def _made(self, stage: str, table: Mapping[str, Any]) -> Any:
        """A table with ``type`` to an object of that class."""
        if not isinstance(table.get(TYPE), str):
            raise self.refuse(f"must have a {TYPE!r}, one of {sorted(STAGES[stage])}; got {table.get(TYPE)!r}.")
        cls = named(stage, STAGES[stage], self.at(f".{TYPE}")._name(stage, table[TYPE]))
        settings = self._fields(cls, {key: value for key, value in table.items() if key != TYPE})
        self._check_complete(cls, table)
        try:
            return cls(**settings)
        except (TypeError, ValueError) as error:
            raise self.refuse(f"cannot be made: {error}") from error

    def _fields(self, cls: type, table: Mapping[str, Any]) -> dict[str, Any]:
        _check_known(table, list(_settable(cls)), self.file, self.name)
        hints = get_type_hints(cls)
        return {key: self.at(f".{key}")._plain(key, value, hints[key]) for key, value in table.items()}

    def _plain(self, key: str, value: Any, hint: Any) -> Any:
        try:
            return fitted(self._inner(key, value), hint)
        except Misfit as error:
            raise self.refuse(f"must be {error}; got {value!r}.") from error

    def _inner(self, key: str, value: Any) -> Any:
        """Parts within parts: a threshold for each entity, the views of a chain."""
        if isinstance(value, list):
            return [self.at(f"[{number}]")._inner(key, item) for number, item in enumerate(value)]
        if isinstance(value, dict) and key in _STAGE_OF:
            return self._made(_STAGE_OF[key], value)
        return value

    def _check_complete(self, cls: type, table: Mapping[str, Any]) -> None:
        lacking = [name for name, field in _settable(cls).items() if _is_required(field) and name not in table]
        if lacking:
            raise self.refuse(f"must have {lacking}; got {sorted(set(table) - {TYPE})}.")


def _check_known(table: Mapping[str, Any], known: list[str], file: str, place: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        where = f" in `{place}`" if place else ""
        raise InvalidParameter(
            f"{file}: the keys{where} must be among {known}; got {unknown}.{did_you_mean(unknown, known)}"
        )


def _settable(cls: Any) -> dict[str, Field[Any]]:
    """The fields that are settings; those outside of comparison hold what was learned."""
    return {field.name: field for field in fields(cls) if field.init and field.compare}


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def settings_as_toml(settings: Mapping[str, Any]) -> str:
    """The TOML that `read_settings` reads back equal.

    Parameters
    ----------
    settings : mapping of str to object
        Keywords of `Detector`, such as ``detector.get_params(deep=False)``. None is left out where it is the default.

    Raises
    ------
    InvalidParameter
        When a setting is an object of the user's, which no file can hold, or the text ``"none"`` where it may be None.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(Detector).parameters.items()}
    ordered = {key: settings[key] for key in defaults if key in settings}
    given = {key: value for key, value in ordered.items() if value is not None or defaults[key] is not None}
    tables = {key: _as_table(value, key) for key, value in given.items() if _is_table(value)}
    rows = {key: value for key, value in given.items() if key == "branches" and value}
    plain = {key: value for key, value in given.items() if key not in tables and key not in rows}
    hints = get_type_hints(Detector.__init__)
    blocks = [_lines({key: _setting(value, hints[key], key) for key, value in plain.items()})]
    blocks += [f"[{key}]\n{_lines(table)}" for key, table in tables.items()]
    blocks += [f"[[{key}]]\n{_lines(_as_table(row, key))}" for key, value in rows.items() for row in value]
    return "\n".join(block for block in blocks if block)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type))


def _lines(table: Mapping[str, str]) -> str:
    return "".join(f"{key} = {text}\n" for key, text in table.items())


def _as_table(value: Any, place: str) -> dict[str, str]:
    """Keys and the text of their values."""
    hints = get_type_hints(Training if isinstance(value, Mapping) else type(value))
    if isinstance(value, Mapping):
        return {key: _setting(item, hints.get(key), f"{place}.{key}") for key, item in value.items()}
    table = {} if isinstance(value, Branch) else {TYPE: _inline(_public_name(value, place), place)}
    for name, field in _settable(value).items():
        item = getattr(value, name)
        if item is not None or field.default is not None:
            table[name] = _setting(item, hints[name], f"{place}.{name}")
    return table


def _setting(value: Any, hint: Any, place: str) -> str:
    if isinstance(value, str) and value == NONE and may_be_none(hint):
        raise InvalidParameter(
            f"`{place}` must not be the text {NONE!r} to be written as TOML, where that stands for None. Choose "
            "another name, or set it in Python."
        )
    return _inline(value, place)


def _public_name(value: Any, place: str) -> str:
    cls = type(value)
    if cls is Training:
        return "Training"
    for stage, names in STAGES.items():
        for name, entry in names.items():
            if entry.rpartition(":")[2] == cls.__qualname__ and named(stage, names, name) is cls:
                return f"{stage}.{cls.__qualname__}"
    raise _not_writable(value, place)


def _inline(value: Any, place: str) -> str:
    value = plain(value)
    if value is None:
        return json.dumps(NONE)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, PurePath)):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_inline(item, f'{place}[{number}]') for number, item in enumerate(value))}]"
    if _is_table(value):
        items = [f"{_key(key)} = {text}" for key, text in _as_table(value, place).items()]
        return f"{{ {', '.join(items)} }}"
    raise _not_writable(value, place)


def _key(key: str) -> str:
    """As it is where TOML allows that: names of columns may hold anything."""
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def _not_writable(value: Any, place: str) -> InvalidParameter:
    return InvalidParameter(
        f"`{place}` must be a plain value or a part of unalike's to be written as TOML; got {type(value).__name__}. "
        "Set such parts in Python."
    )
