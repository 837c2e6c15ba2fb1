"""Texts: tickets, messages, log lines, documents, in any language and of any length."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unalike import texts
from unalike.data import count
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.modalities import passages, textcolumns, textfiles, tunedtexts
from unalike.modalities.loglines import masks_of
from unalike.modalities.textfiles import Texts
from unalike.modalities.tiles import worst
from unalike.plain import is_whole
from unalike.types import Branch, Collection, FloatArray, IntArray, Schema, View

if TYPE_CHECKING:
    from torch import Tensor

_SHORTEST_PART = 64


@dataclass(kw_only=True)
class Text:
    """Texts of one kind.

    A list, an array or a column of strings; a DataFrame (pandas, polars, Arrow), a CSV, TSV, Parquet or JSONL file with
    a column of texts; a folder of text files, or a list of `pathlib.Path`, one text each; any other file, such as a
    log, of which each line is one text. Any language; docs/texts.md tells more.

    Parameters
    ----------
    model : str or path, optional
        A pretrained encoder of texts for the default branches: the local folder of a Hugging Face or
        sentence-transformers model, or its name on the hub, which is *downloaded* on first use. None: nothing
        pretrained; texts are then judged by their words, and by a small network trained from scratch.
    part : int
        Characters that are encoded together, at least 64. Longer texts are cut between words into parts of about equal
        length, and nothing of them is lost.
    join_by : {"mean", "worst"}
        The score of a text of several parts: their mean, or the highest, where one odd passage is to raise an alarm.
    column : str, optional
        Of tables and JSONL: the column of the texts. None: the only one that holds texts.
    id : str, optional
        Column that names the rows in results. None: their numbers, from 0; of files their paths.
    session : str, optional
        Column that tells which rows belong together: those of one session, in their order, are the lines of one text.
    window : int, optional
        So many successive rows, of one session where there are some, are the lines of one text; 1 or more. The last
        ones of a session may be fewer.
    mask : str or mapping of str to str, optional
        ``"log"``: what is a parameter of a log line becomes its kind, such as ``<num>`` or ``<ip>``
        (`modalities.loglines.LOG`), so that templates are left. Or names and regular expressions of your own. Results
        and explanations tell the text as you gave it.
    encoding : str, optional
        Of files and bytes without a byte order mark. None: UTF-8.
    on_error : {"raise", "skip"}
        What becomes of a text that cannot be used: empty, missing, of another encoding, binary. ``"raise"``: an error
        names the rows. ``"skip"``: it is left out with a warning, and `Decisions.skipped` and `Detector.skipped_` tell
        which.

    Notes
    -----
    A text is a row of Unicode code points, of which each encoder makes tokens of its own.
    """

    model: str | os.PathLike[str] | None = None
    part: int = 1000
    join_by: Literal["mean", "worst"] = "mean"

    column: str | None = None
    id: str | None = None
    session: str | None = None
    window: int | None = None
    mask: str | Mapping[str, str] | None = None
    encoding: str | None = None
    on_error: Literal["raise", "skip"] = "raise"

    name = "text"
    fusion = "ratio"

    def __post_init__(self) -> None:
        if self.model is not None:
            self.model = os.fspath(self.model)
        if not is_whole(self.part, _SHORTEST_PART):
            raise InvalidParameter(
                f"`part` must be a number of characters of at least {_SHORTEST_PART}; got {self.part!r}."
            )
        if self.join_by not in ("mean", "worst"):
            raise InvalidParameter(f"`join_by` must be 'mean' or 'worst'; got {self.join_by!r}.")

        if self.window is not None and not is_whole(self.window, 1):
            raise InvalidParameter(f"`window` must be None or a number of lines of 1 or more; got {self.window!r}.")
        if self.on_error not in ("raise", "skip"):
            raise InvalidParameter(f"`on_error` must be 'raise' or 'skip'; got {self.on_error!r}.")
        textfiles.check_encoding(self.encoding)
        masks_of(self.mask)

    def check(self, X: Any) -> Collection:
        """Read texts, and refuse what is none, or leave it out.

        Lone surrogates, halves of a character that was cut, become U+FFFD.

        Raises
        ------
        InvalidInput
            `X` is empty; a row is no text, empty, missing, not of the encoding or binary; a column is not there.
        """
        if isinstance(X, Texts):
            found = X
        else:
            values = textcolumns.found_in(X, self.column, self.id, self.session, self.encoding)
            lines = None
            if self.window is not None or self.session is not None:
                values, lines = textcolumns.in_sessions(values, self.window)
            skip = self.on_error == "skip"
            found = textfiles.sorted_out(values.values, values.names, self.encoding, skip=skip, lines=lines)
        if count(found) == 0:
            raise InvalidInput("`X` must hold at least one text; got none. Give more.")
        return found

    def fit(self, X: Collection) -> Text:
        """Nothing is learned from training texts here: their words are for the encoders."""
        self.length_ = int(self.part)
        return self

    @property
    def schema(self) -> Schema:
        """Shape ``(part,)``, one level for each code point."""
        self._need_fit()
        return Schema((self.length_,), (texts.CODE_POINTS,))

    def cut(self, X: Collection) -> tuple[Collection, IntArray]:
        """The parts of each text, and the number of the text that each is of."""
        encoded = self.encoded(X)
        spans = [passages.spans(text, self.part) for text in encoded]
        parts = [text[start:end] for text, own in zip(encoded, spans, strict=True) for start, end in own]
        return parts, passages.owners(spans)

    def encoded(self, X: Collection) -> list[str]:
        """What is encoded of each text: the text itself, or with its parameters masked."""
        masks = masks_of(self.mask)
        return list(X) if masks is None else [masks.masked(text) for text in X]

    def spans(self, X: Collection) -> list[list[tuple[int, int]]]:
        """Of each text, as it is `encoded`, the first character of each part and the one after its last."""
        return [passages.spans(text, self.part) for text in self.encoded(X)]

    def given_spans(self, text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Where spans of a text, as it is `encoded`, lie in the text as the user gave it."""
        masks = masks_of(self.mask)
        return list(spans) if masks is None else masks.given(text, spans)

    def tell_of_copies(self, X: Collection) -> None:
        """Warn when many of checked texts are exact copies of others, which a random split tears apart."""
        textfiles.tell_of_copies(list(X))

    def tensors(self, parts: Collection) -> Tensor:
        """``(n, part)`` int32: code points, zeros behind them."""
        self._need_fit()
        return texts.encoded(parts, self.length_)

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray:
        """``(n,)``: the mean score of the parts of each text, or the highest."""
        if self.join_by == "worst":
            return worst(scores, owner, n)
        sums = np.bincount(owner, weights=scores, minlength=n)
        return np.asarray(sums / np.bincount(owner, minlength=n))

    def ids(self, X: Collection) -> npt.NDArray[Any]:
        """Their ids: of the `id` column, paths, sessions, or the places in what was given."""
        return X.names if isinstance(X, Texts) else np.arange(count(X))

    def view(self) -> View:
        """Words deleted, replaced and moved a little."""
        from unalike.views.text import standard_text_view

        return standard_text_view()

    def branches(self) -> tuple[Branch, ...]:
        """The pipeline of `modalities.tunedtexts`."""
        return tunedtexts.branches(self.model)

    def labelled_branches(self) -> tuple[Branch, ...]:
        """Beside those of `branches` where there are labelled anomalies (docs/decisions/0015)."""
        return tunedtexts.labelled_branches(self.model)

    def state(self) -> dict[str, Any]:
        """The length of a part."""
        self._need_fit()
        return {"length": self.length_}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what was saved."""
        self.length_ = int(state["length"])

    def _need_fit(self) -> None:
        if not hasattr(self, "length_"):
            raise NotFitted("`Text` must be fitted first. Call `fit`.")
