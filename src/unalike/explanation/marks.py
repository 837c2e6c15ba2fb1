"""Texts with their guilty words marked, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from unalike.data import take
from unalike.decisions import Explanation, Part
from unalike.errors import InvalidParameter
from unalike.explanation.samples import chosen_positions
from unalike.types import Collection
from unalike.writing import whole_file

PAGE = "texts.html"

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --dim: #57606a; --line: #d0d7de; --hot: 213 94 0; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --text: #e6e8ea; --dim: #9aa4ae; --line: #39414a; } }
body { margin: 0 auto; max-width: 46rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); padding: .8rem 0; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1rem; margin: 0; }
blockquote { margin: .5rem 0; white-space: pre-wrap; }
p { color: var(--dim); font-size: .9rem; margin: .3rem 0; }
mark { color: inherit; background: rgb(var(--hot) / calc(.12 + .38 * var(--share))); border-radius: .15rem;
  text-decoration: underline; text-decoration-color: rgb(var(--hot));
  text-decoration-thickness: calc(.1em + .2em * var(--share)); text-underline-offset: .2em; }
mark small { color: var(--dim); font-size: .7em; vertical-align: super; margin-left: .1em; }
"""
"""Shade and underline both grow with the share, which is also written: colour alone tells nothing."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Why these texts are unlike the others</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Why these texts are unlike the others</h1>
<p>Marked words make the score. The small figure is their share of what the text scores above a usual one.</p>
"""


def marked(text: str, parts: Sequence[Part]) -> str:
    """The text as HTML, its guilty words in ``<mark style="--share: 0.4">`` with their shares; `STYLE` draws them.

    Parameters
    ----------
    text : str
        As the user gave it.
    parts : sequence of Part
        Of its explanation.
    """
    drawn, done = [], 0
    placed = [(*part.at, part.share) for part in parts if part.at is not None]
    for start, end, share in sorted(placed):
        drawn.append(escape(text[done:start]))
        word = escape(text[start:end])
        drawn.append(f'<mark style="--share: {share:.3f}">{word}<small>{share:.0%}</small></mark>')
        done = end
    return "".join([*drawn, escape(text[done:])])


def write_marked(
    X: Collection, explanations: Sequence[Explanation], folder: str | Path, *, only: Any = None
) -> list[Path]:
    """One page of all explained texts, ``texts.html``, that needs nothing from elsewhere.

    Parameters
    ----------
    X : collection
        Checked texts, which were explained.
    explanations : sequence of Explanation
        Of those of `X` that `only` names.
    folder : path
        Made when it is not there.
    only : array-like, optional
        As given to `Detector.explain`.

    Raises
    ------
    InvalidParameter
        When `folder` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InvalidParameter(f"`pictures` must be a folder; {str(folder)!r} is a file. Give another.")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = take(X, chosen_positions(only, len(X)))
    shown = [_section(str(text), sample) for text, sample in zip(chosen, explanations, strict=True)]
    path = folder / PAGE
    with whole_file(path) as temporary:
        temporary.write_text(f"{_HEAD}{''.join(shown)}</body>\n</html>\n", encoding="utf-8")
    return [path]


def _section(text: str, sample: Explanation) -> str:
    near = f"<p>Nearest normal texts: {escape(', '.join(sample.nearest))}</p>" if sample.nearest else ""
    none = "" if sample.parts else "<p>Without any one of its words the score is no lower.</p>"
    return (
        f"<section><h2>{escape(sample.id)}: score {sample.score:.4g}</h2>"
        f"<blockquote>{marked(text, sample.parts)}</blockquote>{none}{near}</section>\n"
    )
