"""Log lines: what is a parameter of a line is masked, so that its template is left."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from unalike.errors import InvalidParameter

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?"
_ZONE = r"(?:\s?(?:Z\b|[+-]\d{2}:?\d{2}\b))?"

LOG: Mapping[str, str] = {
    "url": r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>]+",
    "email": r"(?<![\w.+-])[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    "uuid": r"(?<!\w)[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?!\w)",
    "time": rf"(?<!\w)(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?:[T\s]\s?{_CLOCK}{_ZONE})?"
    rf"|\d{{1,2}}[-/.](?:\d{{1,2}}|{_MONTHS})[-/.]\d{{2,4}}(?:[:\s]{_CLOCK}{_ZONE})?"
    rf"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\s+)?(?:{_MONTHS})\s+\d{{1,2}}(?:\s+{_CLOCK})?(?:\s+\d{{4}}\b)?"
    rf"|\d{{1,2}}:\d{{2}}:\d{{2}}(?:[.,]\d+)?{_ZONE})(?!\w)",
    "mac": r"(?<![\w:-])[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}(?![\w:-])",
    "ip": r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]*\d)"
    r"|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"
    r"|(?<![\w:])(?=[a-fA-F:]*\d)(?:[0-9a-fA-F]{1,4}:){1,6}:(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,5})?(?![\w:])",
    "path": r"(?<![\w/.])(?:~|\.{1,2})?(?:/[\w.@%+~-]+)+/?|\b[A-Za-z]:\\[^\s\"'<>|:]+",
    "hex": r"(?<!\w)(?:0[xX][0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,})(?!\w)",
    "num": r"(?:(?<![^\W_])(?<![.)\]-])[+-])?(?<![\d.])\d+(?:[.,]\d+)*(?:[eE][+-]?\d+(?!\w))?",
}
"""Masks of log lines, by name; where several fit, the first counts."""

RULES: Mapping[str, Mapping[str, str]] = {"log": LOG}


@dataclass(frozen=True)
class Masks:
    """Regular expressions whose matches become their name in angle brackets: ``user 17`` is ``user <num>``.

    Parameters
    ----------
    rules : tuple of (str, str)
        Names and expressions; at one place the first that matches counts.

    Raises
    ------
    InvalidParameter
        An expression is none, or matches nothing at all, as ``x*`` does.
    """

    rules: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        for name, rule in self.rules:
            try:
                empty = re.compile(rule).match("") is not None
                re.compile(f"(?P<m>{rule})")
            except re.error as error:
                raise InvalidParameter(
                    f"`mask` {name!r} must be a regular expression without flags at its start; got {rule!r}: {error}."
                ) from error
            if empty or re.search(r"\\\d|\(\?P[<=]", rule):
                raise InvalidParameter(
                    f"`mask` {name!r} must match some characters, without named or numbered groups; got {rule!r}."
                )

    def masked(self, text: str) -> str:
        """The text with its parameters masked."""
        return _compiled(self.rules).sub(self._name, text)

    def given(self, text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Where spans of the masked text lie in `text`: a mask stands for all that it hides.

        Parameters
        ----------
        text : str
            As the user gave it.
        spans : sequence of (int, int)
            First character and the one after the last, in ``masked(text)``; none of them empty.
        """
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for match in _compiled(self.rules).finditer(text):
            starts += range(at, match.start())
            ends += range(at + 1, match.start() + 1)
            shown = len(self._name(match))
            starts += [match.start()] * shown
            ends += [match.end()] * shown
            at = match.end()
        starts += range(at, len(text))
        ends += range(at + 1, len(text) + 1)
        return [(starts[start], ends[end - 1]) for start, end in spans]

    def _name(self, match: re.Match[str]) -> str:
        return f"<{self.rules[int((match.lastgroup or 'm0')[1:])][0]}>"


def masks_of(mask: str | Mapping[str, str] | None) -> Masks | None:
    """The masks that the setting `mask` of `modalities.Text` names.

    Raises
    ------
    InvalidParameter
        When it names none.
    """
    if mask is None:
        return None
    if isinstance(mask, str):
        if mask not in RULES:
            raise InvalidParameter(
                f"`mask` must be one of {sorted(RULES)}, or a mapping of names to regular expressions; got {mask!r}."
            )
        return Masks(tuple(RULES[mask].items()))
    sound = isinstance(mask, Mapping) and mask and all(isinstance(x, str) for pair in mask.items() for x in pair)
    if not sound:
        raise InvalidParameter(f"`mask` must map names to regular expressions; got {mask!r}.")
    return Masks(tuple(mask.items()))


@lru_cache(maxsize=16)
def _compiled(rules: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<m{number}>{rule})" for number, (_, rule) in enumerate(rules)))
