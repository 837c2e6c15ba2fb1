"""Texts as users have them: values of any kind, files and lines, decoded and sorted out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from unalike import reading
from unalike.errors import InputWarning, InvalidInput, InvalidParameter, tell
from unalike.types import IntArray, Skipped

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_NAMED = 3
_SEEN = 4096


@dataclass(frozen=True, eq=False)
class Texts:
    """Checked texts; a sequence of them, or of some by an array of positions.

    Parameters
    ----------
    items : list of str
        ``n`` texts, as the user gave them.
    rows : ndarray
        ``(n,)``: where each stands in what the user gave; of sessions and windows of lines, its number among them.
    names : ndarray
        ``(n,)``: ids.
    lines : list of ndarray or None
        Of sessions and windows: the rows of the user's that each is made of, ``(m,)`` each.
    skipped : tuple of Skipped
        Those that were left out; empty for some of the texts.
    """

    items: list[str]
    rows: IntArray
    names: npt.NDArray[Any]
    lines: list[IntArray] | None = None
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    @overload
    def __getitem__(self, position: int, /) -> str: ...

    @overload
    def __getitem__(self, position: IntArray, /) -> Texts: ...

    def __getitem__(self, position: int | IntArray, /) -> Any:
        if not isinstance(position, np.ndarray):
            return self.items[position]
        chosen = np.arange(len(self))[position]
        lines = None if self.lines is None else [self.lines[at] for at in chosen]
        return Texts([self.items[at] for at in chosen], self.rows[chosen], self.names[chosen], lines)


def check_encoding(encoding: str | None) -> None:
    """Refuse an encoding that Python does not know.

    Raises
    ------
    InvalidParameter
        When it does not.
    """
    try:
        if encoding is not None:
            " ".encode(encoding)
    except (LookupError, TypeError, UnicodeError) as error:
        raise InvalidParameter(
            f"`encoding` must be one that Python knows, such as 'utf-8' or 'gb18030'; got {encoding!r}."
        ) from error


def decode(content: bytes, encoding: str | None) -> str:
    """The text of some bytes: by their byte order mark, else as `encoding` says, else UTF-8.

    Raises
    ------
    InvalidInput
        When they are not of that encoding; the message has no subject.
    """
    mark, marked = next(((mark, name) for mark, name in _BOMS if content.startswith(mark)), (b"", None))
    used = marked or encoding or "utf-8"
    try:
        return content[len(mark) :].decode(used)
    except UnicodeError as error:
        what = "a binary file" if b"\0" in content[:_SEEN] and marked is None else f"none: {error}"
        raise InvalidInput(f"must be text in {used}; got {what}. Give its encoding=, or on_error='skip'.") from error


def lines_of(path: str | Path, encoding: str | None) -> list[str | bytes]:
    """The lines of a file, without their ends; those that cannot be decoded stay bytes.

    Raises
    ------
    InvalidInput
        When the file cannot be read, or is a binary one.
    """
    content = _content(path)
    try:
        return _split(decode(content, encoding))
    except InvalidInput as error:
        marked = any(content.startswith(mark) for mark, _ in _BOMS[1:])
        if marked or b"\0" in content[:_SEEN] or "\n".encode(encoding or "utf-8") != b"\n":
            raise InvalidInput(f"{str(path)!r} {error}") from error
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [line.removesuffix(b"\r") for line in (lines[:-1] if lines[-1] == b"" else lines)]


def _split(text: str) -> list[str | bytes]:
    lines = text.split("\n")  # other ends of lines may lie within a text
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _content(path: str | Path) -> bytes:
    try:
        return reading.existing(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} must be a readable file; got an error: {error}.") from error


def text_of(value: Any, encoding: str | None) -> str:
    """What a text is as a string; lone surrogates, halves of a character that was cut, become U+FFFD.

    Parameters
    ----------
    value : str, bytes or Path
        A path is a file that is one text.
    encoding : str, optional
        Of bytes and files.

    Raises
    ------
    InvalidInput
        When it is none, missing, without anything to see, or holds NUL; the message has no subject.
    """
    if isinstance(value, Path):
        value = _content(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = decode(bytes(value), encoding)
    if not isinstance(value, str):
        if is_missing(value):
            raise InvalidInput("must be a text; got a missing value. Fill or drop it, or give on_error='skip'.")
        raise InvalidInput(f"must be a text; got {type(value).__name__}. Convert it.")
    if "\0" in value:
        raise InvalidInput("must be a text without NUL characters; got one. Is it a binary file? Remove them.")
    if not value.strip():
        raise InvalidInput("must be a text; got an empty one. Drop it, or give on_error='skip'.")
    return _SURROGATES.sub("�", str(value))


def is_missing(value: Any) -> bool:
    """Whether it stands for no value: None, NaN, pandas.NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(value != value)


def sorted_out(
    values: Sequence[Any], names: npt.NDArray[Any], encoding: str | None, *, skip: bool, lines: list[IntArray] | None
) -> Texts:
    """The texts among some values.

    Parameters
    ----------
    values : sequence
        As `text_of`.
    names : ndarray
        ``(n,)``: their ids.
    encoding : str, optional
        Of bytes and files.
    skip : bool
        Leave out those that cannot be used, with one warning; else they are an error that names them.
    lines : list of ndarray, optional
        As in `Texts`.

    Raises
    ------
    InvalidInput
        For values that cannot be used, or when none can.
    """
    items: list[str] = []
    kept: list[int] = []
    left_out: list[Skipped] = []
    for row, value in enumerate(values):
        try:
            items.append(text_of(value, encoding))
            kept.append(row)
        except InvalidInput as error:
            left_out.append(Skipped(row, str(names[row]), str(error)))
    if left_out and not skip:
        raise InvalidInput(f"{_subject(left_out[0])} {left_out[0].reason}{_others(left_out)}")
    if left_out and not items:
        raise InvalidInput(f"`X` must hold a text that can be used; got {len(left_out)} that cannot. {_told(left_out)}")
    if left_out:
        tell(f"{len(left_out)} of {len(values)} texts cannot be used and are left out. {_told(left_out)}", InputWarning)
    rows = np.array(kept, dtype=np.int64)
    made = None if lines is None else [lines[row] for row in kept]
    return Texts(items, rows, names[rows], made, tuple(left_out))


def _subject(sample: Skipped) -> str:
    return f"Row {sample.row} of `X`" + ("" if sample.id == str(sample.row) else f", {sample.id!r},")


def _others(left_out: Sequence[Skipped]) -> str:
    if len(left_out) == 1:
        return ""
    shown = ", ".join(str(sample.row) for sample in left_out[1 : 1 + 2 * _NAMED])
    more = "…" if len(left_out) > 1 + 2 * _NAMED else ""
    return f" There are {len(left_out)} rows that cannot be used: also {shown}{more}."


def _told(left_out: Sequence[Skipped]) -> str:
    named = [f"{_subject(sample)} {sample.reason}" for sample in left_out[:_NAMED]]
    return " ".join([*named, *(["…"] if len(left_out) > _NAMED else [])])


def tell_of_copies(X: Sequence[str]) -> None:
    """An `InputWarning` when at least 1% of the texts are exact copies of an earlier one."""
    copies = len(X) - len(set(X))
    if copies >= max(0.01 * len(X), 1):
        tell(
            f"`X` must hold independent texts, or be given with what tells which are not; {copies:,} of {len(X):,} are "
            "exact copies of another. On both sides of a split they make the threshold too low. Drop copies that "
            "mean nothing, or give groups=, such as unalike.find_groups(X, 'text').",
            InputWarning,
        )


def group(X: Sequence[str]) -> IntArray:
    """``(n,)`` codes from 0: texts that differ in no more than letter case and white space share one."""
    codes: dict[str, int] = {}
    found = [codes.setdefault(" ".join(text.casefold().split()), len(codes)) for text in X]
    return np.array(found, dtype=np.int64)
