"""What texts are read from, and what is refused, left out or told of them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from unalike import find_groups, texts
from unalike.configuration import read_settings, settings_as_toml
from unalike.data import aligned, rows_given, skipped, take
from unalike.errors import CannotExport, InputWarning, InvalidInput, InvalidParameter
from unalike.exporting.inputs import ImageInput, input_of
from unalike.fitting import warn_of_near_copies
from unalike.modalities import Text
from unalike.modalities.textcolumns import opened
from unalike.reading import text_paths

TEXTS = ["the pump is warm", "泵的温度正常。", "all fine 👩‍🔧 today", "à côté\u2028d'elle"]


@pytest.fixture
def frame():
    return pd.DataFrame({"body": TEXTS, "day": range(4), "ticket": ["a", "b", "c", "d"]})


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        iter,
        pd.Series,
        pl.Series,
        pa.array,
        lambda values: pa.chunked_array([values]),
        lambda values: pd.Series(values).astype("category"),
        lambda values: [value.encode() for value in values],
        lambda values: pd.DataFrame({"body": values, "day": range(4)}),
        lambda values: pl.DataFrame({"body": values}),
        lambda values: pl.LazyFrame({"body": values}),
        lambda values: pa.table({"body": values}),
        lambda values: {"body": values, "day": [1, 2, 3, 4]},
        lambda values: [{"body": value, "day": 1} for value in values],
    ],
)
def test_every_form_gives_the_texts_in_their_order(make):
    found = Text().check(make(TEXTS))
    assert list(found) == TEXTS
    assert Text().ids(found).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("write", ["csv", "tsv", "parquet", "jsonl"])
def test_a_column_of_a_file(frame, tmp_path, write):
    path = tmp_path / f"tickets.{write}"
    if write == "parquet":
        frame.to_parquet(path)
    elif write == "jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records")) + "\n\n")
    else:
        frame.to_csv(path, index=False, sep="\t" if write == "tsv" else ",")
    text = Text(column="body", id="ticket")
    found = text.check(path)
    assert list(found) == TEXTS
    assert text.ids(found).tolist() == ["a", "b", "c", "d"]
    with pytest.raises(InvalidInput, match=r"`column` must name .*'body', 'ticket'"):
        Text().check(path)
    with pytest.raises(InvalidInput, match=r"none called \['bodi'\] among .*Did you mean \['body'\]"):
        Text(column="bodi").check(path)


def test_numbers_in_a_column_of_texts_stay_as_they_are_written(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("code\n007\n1.50\n")
    assert list(Text(column="code").check(path)) == ["007", "1.50"]
    with pytest.raises(InvalidInput, match=r"none of \['code'\] holds texts"):
        Text().check(path)


def test_a_folder_of_files_and_a_file_of_lines(tmp_path):
    folder = tmp_path / "mails"
    (folder / "in").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name, text in (("b.txt", "two\nlines"), ("in/a.md", "一"), (".hidden/c.txt", "no"), ("d.bin", "no")):
        (folder / name).write_text(text)
    found = Text().check(folder)
    assert list(found) == ["two\nlines", "一"]
    assert Text().ids(found).tolist() == [str(folder / "b.txt"), str(folder / "in" / "a.md")]
    assert list(Text().check(text_paths(folder))) == list(found)
    log = tmp_path / "app.log"
    log.write_bytes("first\x0b\r\n \u2028two\nlast".encode())
    assert list(Text().check(log)) == ["first\x0b", " \u2028two", "last"]


def test_a_folder_of_tables_is_one_table(frame, tmp_path):
    frame[:2].to_parquet(tmp_path / "a.parquet")
    frame[2:].to_parquet(tmp_path / "b.parquet")
    assert list(Text(column="body").check(tmp_path)) == TEXTS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.log", "a.csv", "a.jsonl", "folder/a.txt"])
def test_byte_order_marks_are_known(tmp_path, encoding, name):
    if name.endswith("csv") and encoding == "utf-32":
        pytest.skip("Arrow reads UTF-8 and UTF-16")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    form = {"a.csv": "body\n{}\n", "a.jsonl": '{{"body": "{}"}}\n'}.get(name, "{}")
    path.write_bytes(form.format("温度").encode(encoding))
    assert list(Text().check(path.parent if name.startswith("folder") else path)) == ["温度"]


def test_another_encoding_is_read_when_named_and_told_by_row_when_not(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes("fine\n温度\nfine too".encode("gb18030"))
    assert list(Text(encoding="gb18030").check(path)) == ["fine", "温度", "fine too"]
    with pytest.raises(InvalidInput, match=r"Row 1 of `X` must be text in utf-8; .* Give its encoding="):
        Text().check(path)
    with pytest.warns(InputWarning, match="1 of 3 texts cannot be used"):
        found = Text(on_error="skip").check(path)
    assert found.rows.tolist() == [0, 2]
    assert [(sample.row, sample.id) for sample in skipped(found)] == [(1, "1")]
    csv = tmp_path / "a.csv"
    csv.write_bytes("body,n\nfine,1\n温度,2\n".encode("gb18030"))
    assert list(Text(encoding="gb18030", column="body").check(csv)) == ["fine", "温度"]
    for text in (Text(), Text(column="body")):
        with pytest.raises(InvalidInput, match="Row 1 of `X` must be text in utf-8"):
            text.check(csv)
    with pytest.raises(InvalidParameter, match="`encoding` must be one that Python knows"):
        Text(encoding="latin-77")


def test_binary_files_are_told_by_name(tmp_path):
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\xff")
    with pytest.raises(InvalidInput, match=r"b.txt', must be text in utf-8; got a binary file"):
        Text().check(tmp_path)
    with pytest.warns(InputWarning, match="b.txt"):
        assert list(Text(on_error="skip").check(tmp_path)) == ["fine"]
    with pytest.raises(InvalidInput, match="a binary file"):
        Text().check(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "empty"),
        (" \n\u3000", "empty"),
        (None, "missing"),
        (float("nan"), "missing"),
        (pd.NA, "missing"),
        ("a\0b", "NUL"),
        (7, "int"),
        (b"\xff\xfa", "utf-8"),
    ],
)
def test_what_is_no_text_is_refused_by_row_or_left_out(bad, why):
    values = ["one", bad, "two", bad]
    with pytest.raises(InvalidInput, match=rf"Row 1 of `X` must be .*{why}.* There are 2 rows .*also 3\."):
        Text().check(values)
    with pytest.warns(InputWarning, match="2 of 4 texts cannot be used and are left out"):
        found = Text(on_error="skip").check(values)
    assert list(found) == ["one", "two"]
    assert rows_given(found, np.array([1])).tolist() == [2]
    assert aligned(["a", "b", "c", "d"], found, "groups") == ["a", "c"]
    with pytest.raises(InvalidInput, match="must hold a text that can be used; got 2"):
        Text(on_error="skip").check([bad, bad])


@pytest.mark.parametrize("X", ["missing-folder", 5, np.array([["a"]]), b"abc", [], {"a": []}])
def test_what_holds_no_texts_is_refused(X):
    with pytest.raises(InvalidInput):
        Text().check(X)


def test_columns_of_what_has_none_are_refused():
    for setting in ("column", "id", "session"):
        with pytest.raises(InvalidInput, match=f"`X` must be a table for `{setting}`; got list"):
            Text(**{setting: "body"}).check(TEXTS)


def test_lone_surrogates_become_replacement_characters(tmp_path):
    assert list(Text().check(["a\ud83d b"])) == ["a\ufffd b"]
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "a\\ud83d b"}\n{"body": "\\ud83d\\ude00"}\n')
    assert list(Text().check(path)) == ["a\ufffd b", "😀"]


@pytest.mark.parametrize("line", ["{oops", "[1, 2]", "7"])
def test_a_line_that_is_no_json_object_is_told_by_its_number(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "a"}\n' + line)
    with pytest.raises(InvalidInput, match=r"Line 2 of .*a.jsonl' must be a JSON object"):
        Text().check(path)


def test_jsonl_keeps_mixed_nested_and_lacking_fields(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "a", "n": 1, "of": {"k": [1]}}\n{"body": "b", "n": "x", "more": true}\n')
    table = opened(path, None)
    assert table.to_pylist() == [
        {"body": "a", "n": "1", "of": '{"k": [1]}', "more": None},
        {"body": "b", "n": "x", "of": None, "more": True},
    ]


def test_sessions_are_rows_in_their_order_and_windows_are_pieces_of_them():
    frame = pd.DataFrame({"host": list("abaab"), "line": ["1", "2", None, "4", "5"], "at": list("vwxyz")})
    text = Text(column="line", session="host")
    found = text.check(frame)
    assert list(found) == ["1\n\n4", "2\n5"]
    assert text.ids(found).tolist() == ["a", "b"]
    assert [rows.tolist() for rows in found.lines] == [[0, 2, 3], [1, 4]]
    text = Text(column="line", session="host", window=2, id="at", on_error="skip")
    found = text.check(frame)
    assert list(found) == ["1\n", "4", "2\n5"]
    assert text.ids(found).tolist() == ["a: v-x", "a: y-y", "b: w-z"]
    assert [rows.tolist() for rows in take(found, np.array([2])).lines] == [[1, 4]]
    assert list(Text(window=2).check(["x", "y", "z"])) == ["x\ny", "z"]
    assert Text().ids(Text(window=2).check(["x", "y", "z"])).tolist() == ["0-1", "2-2"]
    with pytest.raises(InvalidInput, match=r"`session` must have a value in every row; got none in the rows \[1\]"):
        Text(column="line", session="host").check(frame.assign(host=["a", None, "a", "a", "b"]))
    with pytest.raises(InvalidParameter, match="`window` must be"):
        Text(window=0)


def test_many_exact_copies_are_told_once_with_their_number():
    with pytest.warns(InputWarning, match=r"2 of 4 are exact copies.*groups=") as told:
        warn_of_near_copies(Text(), Text().check(["a", "b", "a", "a"]))
    assert len(told) == 1
    warn_of_near_copies(Text(), Text().check([str(number) for number in range(150)] + ["0"]))


def test_groups_of_texts_are_those_that_differ_in_case_and_space_only():
    assert find_groups(["Hello  you", "hello you\n", "hello", "你好"], "text").tolist() == [0, 0, 1, 2]
    with pytest.warns(InputWarning, match="1 of 3"):
        assert find_groups(["a", "", "A"], Text(on_error="skip")).tolist() == [0, 1, 0]
    with pytest.raises(InvalidParameter, match="images or texts"):
        find_groups([[1.0]], "table")


def test_settings_are_read_from_toml_and_written_as_they_are(tmp_path):
    text = Text(column="body", mask={"id": "[A-Z]+-[0-9]+"}, window=3, on_error="skip", encoding="gb18030")
    path = tmp_path / "a.toml"
    path.write_text(settings_as_toml({"modality": text}))
    assert read_settings(path) == {"modality": text}


def test_texts_cannot_be_exported():
    with pytest.raises(CannotExport, match="must be of images, tables or series to be exported; got modality 'text'"):
        input_of(Text(), ImageInput())


def test_a_masked_text_is_encoded_and_its_spans_are_told_in_the_users_own():
    text = Text(mask="log", part=64)
    own = "10.0.0.1 用户 17 " + "読み込み中 /var/log/app.log took 12 ms " * 3
    X = text.fit(text.check([own])).check([own])
    assert list(X) == [own]
    [encoded] = text.encoded(X)
    assert encoded.startswith("<ip> 用户 <num> 読み込み中 <path> took <num> ms")
    parts, owner = text.cut(X)
    assert "".join(parts) == encoded
    assert texts.decoded(text.tensors(parts)) == parts
    assert owner.tolist() == [0] * len(parts)
    assert len(parts) == len(text.spans(X)[0]) > 1
    assert text.given_spans(own, [(0, 4), (5, 7), (8, 13)]) == [(0, 8), (9, 11), (12, 14)]
