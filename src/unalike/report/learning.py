"""How training went, and the settings that reproduce it."""

from __future__ import annotations

import platform
from html import escape
from typing import Any

import numpy as np

from unalike import __version__
from unalike.configuration import settings_as_toml
from unalike.errors import InvalidParameter
from unalike.report.charts import Frame, Line, line_chart, padded
from unalike.report.material import Material
from unalike.training import History
from unalike.types import FloatArray

_LONGEST = 160
_CURVES = {
    "loss": ("Loss", "What training makes small; how low it can get depends on the objective."),
    "alignment": ("Alignment", "Mean squared distance of two views of a sample: small means that views stay together."),
    "uniformity": ("Uniformity", "How evenly embeddings fill the sphere: the lower, the more evenly."),
    "effective_rank": ("Effective rank", "In how many directions embeddings vary: a fall to 1 is a collapse."),
}


def curves(material: Material) -> str:
    """Loss and signs of the embedding by epoch, for each trained branch."""
    histories = getattr(material.detector, "history_", {})
    if not histories:
        return "<p>No network was trained for this model, so that there are no curves.</p>"
    return "".join(_branch(name, rows) for name, rows in histories.items())


def _branch(name: str, rows: History) -> str:
    epochs = np.array([row["epoch"] for row in rows])
    charts = [
        line_chart(
            lines, Frame(_ends(epochs), padded(np.concatenate([line.y for line in lines])), "epoch"), title, note
        )
        for key, (title, note) in _CURVES.items()
        if (lines := _lines(key, epochs, rows))
    ]
    steps = int(rows[-1]["step"])
    return (
        f"<h3>Branch {escape(name)}</h3><p class='dim'>{int(epochs[-1])} epochs, {steps:,} steps. Epoch 0 is the "
        f"network before training.</p><div class='charts'>{''.join(charts)}</div>"
    )


def _lines(key: str, epochs: FloatArray, rows: History) -> list[Line]:
    columns = [key, "held_out_loss"] if key == "loss" else [key]
    found = [(column, np.array([row.get(column, np.nan) for row in rows])) for column in columns]
    named = [(("training" if number == 0 else "held-out rows") if len(columns) > 1 else "", values, number)
             for number, (_, values) in enumerate(found) if np.isfinite(values).any()]  # fmt: skip
    return [Line(name if len(named) > 1 else "", epochs, values, number) for name, values, number in named]


def _ends(epochs: FloatArray) -> tuple[float, float]:
    return float(epochs.min()), max(float(epochs.max()), float(epochs.min()) + 1.0)


def branches(material: Material) -> str:
    """What each branch is made of, and how much it weighs."""
    rows = "".join(
        f"<tr><td>{escape(branch.settings.name)}</td><td>{escape(_short(branch.settings.encoder))}</td>"
        f"<td>{escape('none' if branch.settings.objective is None else _short(branch.settings.objective))}</td>"
        f"<td>{escape(_short(branch.settings.scorer))}</td>"
        f"<td>{material.detector.fusion_.weight(branch.settings.name):.3g}</td></tr>"
        for branch in material.detector.branches_
    )
    head = "".join(f"<th>{name}</th>" for name in ("branch", "encoder", "objective", "scorer", "weight"))
    return f'<div class="wide"><table class="words"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _short(part: Any) -> str:
    told = part if isinstance(part, str) else repr(part)
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"


def settings(material: Material) -> str:
    """The detector's settings as the TOML file that `unalike fit --config` reads."""
    detector = material.detector
    try:
        told = settings_as_toml(detector.get_params(deep=False))
        how = "Save this as settings.toml; unalike fit DATA --config settings.toml then fits the same model."
    except InvalidParameter as error:
        told = "\n".join(f"{name} = {value!r}" for name, value in detector.get_params(deep=False).items())
        how = f"These settings cannot be a file: {error}"
    made = f"unalike {__version__}, Python {platform.python_version()}."
    return f"<p>{escape(how)}</p><pre>{escape(told)}</pre>{branches(material)}<p class='dim'>Report by {made}</p>"
