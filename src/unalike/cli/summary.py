"""What `unalike inspect` prints of a saved model: from its manifest alone, without importing torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

_MOST_NAMES = 8
_PLURALS = {"category": "categories"}
_SAMPLES = {"table": "rows", "image": "images", "series": "steps", "text": "texts"}
_FIRST_SETTING = re.compile(r"(\w+)\((\w+=(?:[^(),]+|\([^()]{1,20}\)))?.*\)", re.DOTALL)


def show_model(console: Console, manifest: Mapping[str, Any]) -> None:
    """A short summary of what `unalike.persistence.inspect` says of a saved model."""
    about = manifest["summary"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _facts(manifest):
        table.add_row(name, text)
    console.print(table)
    console.print()
    console.print(_branches(about["branches"], manifest))


def _facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    about, state = manifest["summary"], manifest["modality"]["state"]
    size = sum(entry["bytes"] for entry in manifest["entries"].values())
    samples = _SAMPLES.get(about["modality"], "samples")
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    return [
        ("kind of data", f"{about['modality']}{_shape(about)}"),
        ("trained on", f"{about['trained_on']:,} {samples}"),
        *(_records(manifest) if about["modality"] == "series" else _columns(state)),
        ("threshold", _threshold(manifest)),
        *_thresholds(about.get("thresholds", {})),
        ("calibrated on", f"{about['calibrated_on']:,} {samples}"),
        ("versions", versions),
        ("file", f"format {manifest['format_version']}, {size / 2**20:.2f} MiB"),
    ]


def _shape(about: Mapping[str, Any]) -> str:
    if about["modality"] == "image":
        channels, height, width = about["shape"]
        return f", {channels} channel{'s' if channels > 1 else ''}, {height} x {width} pixels"
    if about["modality"] == "series":
        channels, window = about["shape"]
        return f", {channels} channel{'s' if channels > 1 else ''}, windows of {window} steps"
    if about["modality"] == "text":
        return f", parts of up to {about['shape'][0]:,} characters"
    return "" if about["modality"] == "table" else f", shape {tuple(about['shape'])}"


def _records(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Channels, how windows lie and what is known of times."""
    state, settings = manifest["modality"]["state"], manifest["modality"]["settings"]["fields"]
    clock, gap = state["learned"]["clock"], settings["longest_gap"]
    rows = [
        ("channels", _listed(state["learned"]["channels"])),
        ("stride", f"{state['stride']} step{'s' if state['stride'] > 1 else ''}"),
    ]
    named = [(name, settings[name]) for name in ("time", "entity") if settings[name] is not None]
    rows += [(f"{name} column", str(column)) for name, column in named]
    if "own" in state:
        rows.append(("scale", f"each of {len(state['own']['entities'])} entities its own"))
    if clock is None:
        return [*rows, ("step", "one row; no times are known")]
    unit = " s" if clock["dated"] else " in the units of the times"
    told = f"{clock['step']:g}{unit}; up to {gap} steps without a row count as missing, after more a new stretch begins"
    return [*rows, ("step", told)]


def _columns(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns of a table, a row for each kind."""
    if "inputs" in state:
        found = [(str(column["name"]), column["kind"]) for column in state["inputs"]]
    else:
        pairs = zip(state.get("columns", ()), state.get("levels", ()), strict=False)
        found = [(str(name), "category" if levels else "number") for name, levels in pairs]
    kinds = dict.fromkeys(kind for _, kind in found)
    rows = [(kind, [name for name, of in found if of == kind]) for kind in kinds]
    return [
        ("columns" if number == 0 else "", f"{_counted(len(names), kind)}: {_listed(names)}")
        for number, (kind, names) in enumerate(rows)
    ]


def _counted(n: int, kind: str) -> str:
    return f"{n} {kind if n == 1 else _PLURALS.get(kind, f'{kind}s')}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown


def _threshold(manifest: Mapping[str, Any]) -> str:
    about, stored = manifest["summary"], manifest["threshold"]
    if stored is None:
        return "none yet: run unalike calibrate"
    kind = _kind(stored["settings"])
    if "own" in stored["state"]:
        kind = f"{kind}, one each for {len(stored['state']['own'])} of {len(stored['state']['entities'])} entities"
    if about["threshold"] is None:
        return f"{kind}; its rate is finer than the samples can hold"
    rate = about["false_alarm_rate"]
    promised = "no false-alarm rate promised" if rate is None else f"false-alarm rate {rate:.4g}"
    return f"{kind}, {promised}, score above {about['threshold']:.4g}"


def _thresholds(limits: Mapping[str, float]) -> list[tuple[str, str]]:
    """The score above which each entity raises an alarm, where they have thresholds of their own."""
    return [("of each", _listed([f"{name} {limit:.4g}" for name, limit in limits.items()]))] if limits else []


def _kind(settings: Any) -> str:
    name = str(settings.get("$type", settings) if isinstance(settings, Mapping) else settings)
    return name.rpartition(".")[2]


def _branches(branches: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> Table:
    shares = manifest["fusion"]["settings"]["fields"]["weights"] or {}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    for heading in ("branch", "encoder", "objective", "scorer"):
        table.add_column(heading, overflow="fold")
    for heading in ("steps", "weight"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, part in branches.items():
        parts = [_brief(part[stage]) for stage in ("encoder", "objective", "scorer")]
        table.add_row(name, *parts, str(part["steps"]) if part["objective"] else "-", f"{shares.get(name, 1.0):g}")
    return table


def _brief(part: str | None) -> str:
    """The class, and of its settings the first, where that is short."""
    if part is None:
        return "-"
    found = _FIRST_SETTING.fullmatch(part)
    if found is None:
        return part
    name, first = found.groups()
    return f"{name}({first})" if first else name
