"""What a request says: its options, and its samples as JSON or as files."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from unalike.errors import InvalidInput, InvalidParameter, UnalikeError
from unalike.hints import did_you_mean
from unalike.plain import is_number, is_whole

_MOST_FILES = 5_000
_LARGE = 2**16
"""JSON of more bytes would keep all other requests waiting while it is read."""
_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/plain": ".txt",
    "application/vnd.apache.parquet": ".parquet",
    "application/parquet": ".parquet",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "image/webp": ".webp",
    "image/gif": ".gif",
}
_UNSAFE = re.compile(r"[^\w .()\[\]+=@,-]")


class WrongType(UnalikeError):
    """The content type of a request is none that can be read."""


@dataclass
class Body:
    """What a request says.

    Parameters
    ----------
    folder : Path
        Where its files lie, each in a folder of its own; it is removed with the request.
    options : dict
        By name, of the right types.
    samples : Any
        Of JSON; None where there are files.
    files : list of Path
        Uploaded ones.
    """

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    samples: Any = None
    files: list[Path] = field(default_factory=list)

    def told(self, text: str) -> str:
        """A text in the words of the client: its names of files, and `samples` for `X`."""
        return re.sub(re.escape(f"{self.folder}/") + r"\d+/", "", text).replace("`X`", "`samples`")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the files of one request."""
    folder = Path(tempfile.mkdtemp(prefix="unalike-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def read(request: Request, folder: Path, allowed: Mapping[str, Callable[[Any], Any]]) -> Body:
    """What a request says.

    Parameters
    ----------
    request : Request
        JSON, a form with files, or the contents of one file.
    folder : Path
        Where its files may lie.
    allowed : mapping of str to callable
        Options that it may have, and what makes each of them of JSON or text.

    Raises
    ------
    InvalidInput, InvalidParameter
        It cannot be read; an option is unknown or of another type.
    WrongType
        It is of another content type.
    """
    body = Body(folder)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given: dict[str, Any] = dict(request.query_params)
    named = given.pop("filename", None)
    if kind == "application/json" or kind.endswith("+json"):
        content = await request.body()
        given |= await asyncio.to_thread(_of_json, content, body) if len(content) > _LARGE else _of_json(content, body)
    elif kind == "multipart/form-data":
        given |= await _of_form(request, body)
    elif kind in _TYPES or named is not None:
        place = _place(body, named or f"data{_TYPES[kind]}")
        place.write_bytes(await request.body())
    else:
        raise WrongType(
            f"The content type must be application/json, multipart/form-data or that of a file, such as text/csv; got "
            f"{kind or 'none'!r}. Send a file by curl -F file=@NAME, JSON by -H 'Content-Type: application/json'."
        )
    body.options = _options(given, allowed)
    return body


def _of_json(content: bytes, body: Body) -> dict[str, Any]:
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body must be JSON; got: {error}. Correct it.") from error
    if isinstance(given, list):
        given = {"samples": given}
    if not isinstance(given, dict) or "samples" not in given:
        raise InvalidInput('The body must be a list of samples, or an object such as {"samples": […]}; it is not.')
    body.samples = given.pop("samples")
    return given


async def _of_form(request: Request, body: Body) -> dict[str, Any]:
    given: dict[str, Any] = {}
    async with request.form(max_files=_MOST_FILES, max_fields=50) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                with _place(body, value.filename or "data").open("wb") as file:
                    while chunk := await value.read(2**20):
                        file.write(chunk)
            else:
                given[name] = value
    return given


def _place(body: Body, name: str) -> Path:
    """Where a file of this name goes: in a folder of its own, so that no name can clash or lead elsewhere."""
    base = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(" .")[-100:] or "data"
    own = body.folder / str(len(body.files))
    own.mkdir()
    body.files.append(own / base)
    return own / base


def _options(given: Mapping[str, Any], allowed: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise InvalidParameter(
            f"Options must be among {sorted(allowed)}; got {unknown}.{did_you_mean(unknown, allowed)}"
        )
    made: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == "":
            continue
        try:
            made[name] = allowed[name](value)
        except (TypeError, ValueError) as error:
            raise InvalidParameter(f"`{name}` must be {error}; got {value!r}.") from error
    return made


def text(value: Any) -> str:
    """An option that is a string."""
    if not isinstance(value, str):
        raise TypeError("a string")
    return value


def rate(value: Any) -> float:
    """An option that is a share."""
    number = _number(value)
    if not 0.0 < number < 1.0:
        raise ValueError("a number above 0 and below 1")
    return number


def whole(value: Any) -> int:
    """An option that counts."""
    number = _number(value)
    if number != int(number) or number < 0:
        raise ValueError("a whole number of 0 or more")
    return int(number)


def flag(value: Any) -> bool:
    """An option that is true or false."""
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    if not isinstance(value, (bool, str)) or value not in known:
        raise ValueError("true or false")
    return known[value]


def positions(value: Any) -> list[int]:
    """An option that lists rows: in text with commas between them."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list):
        raise TypeError("a list of rows")
    return [whole(one) for one in given]


def names(value: Any) -> list[Any]:
    """An option that lists entities: a list of strings or whole numbers, or its JSON."""
    try:
        given = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        given = None
    if not isinstance(given, list) or not all(isinstance(one, str) or is_whole(one, -(2**63)) for one in given):
        raise TypeError("a list of strings or whole numbers, one per sample")
    return given


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise ValueError("a number") from error
    if not is_number(value) or value != value or abs(value) > 2**53:
        raise ValueError("a number")
    return float(value)
