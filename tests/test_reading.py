from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unalike.errors import InvalidInput
from unalike.reading import IMAGE_SUFFIXES, existing, image_paths, is_path, read_npz, read_table


def test_paths_are_texts_and_paths() -> None:
    assert is_path("a")
    assert is_path(Path("a"))
    assert not is_path(["a"])
    assert not is_path(np.str_("a").encode())


def test_nothing_at_a_path() -> None:
    with pytest.raises(
        InvalidInput, match=r"`path` must exist; got 'no/where', where there is nothing\. Check the spell"
    ):
        existing("no/where")


# Folders


def test_image_paths_are_sorted_nested_and_of_any_case(tmp_path: Path) -> None:
    names = ["b.png", "a.JPG", "sub/deep/c.TiFf", "sub/d.webp", "z.bmp", "e.jpeg", "f.tif"]
    for name in [*names, "notes.txt", "sub/data.csv", "png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert image_paths(tmp_path) == sorted(tmp_path / name for name in names)
    assert image_paths(str(tmp_path)) == image_paths(tmp_path)


def test_one_file_gives_itself(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert image_paths(tmp_path / "a.png") == [tmp_path / "a.png"]


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidInput, match=r"must hold images \(\.bmp, \.gif, .*\); got none\. Give another folder"):
        image_paths(tmp_path)
    assert len(IMAGE_SUFFIXES) == 12


# Tables


TABLE = pa.table({"number": [1.5, None, 3.0], "count": [1, 2, 3], "name": ["a", "b", None]})


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".PARQUET"])
def test_parquet(tmp_path: Path, suffix: str) -> None:
    pq.write_table(TABLE, tmp_path / f"t{suffix}")
    assert read_table(tmp_path / f"t{suffix}").equals(TABLE)


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("number,count,ok,empty,day\n1.5,1,true,,2024-01-01\n,2,false,,2024-01-02\n")
    table = read_table(str(tmp_path / "t.csv"))
    assert table["number"].to_pylist() == [1.5, None]
    assert table["count"].to_pylist() == [1, 2]
    assert table["ok"].to_pylist() == [True, False]
    assert [str(kind) for kind in table.schema.types] == ["double", "int64", "bool", "null", "date32[day]"]


def test_missing_texts_in_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,name\n1,\n2,""\n3,NA\n4,"NA"\n')
    assert read_table(tmp_path / "t.csv")["name"].to_pylist() == [None, "", None, "NA"]


@pytest.mark.parametrize(
    ("name", "content"), [("t.csv", b""), ("t.csv", b"a,b\n1,2\n3\n"), ("t.parquet", b"PAR1 no"), ("t.pq", b"")]
)
def test_broken_tables_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"{name}' must be a readable (csv|parquet|pq) file; got an error: \S"):
        read_table(tmp_path / name)


def test_truncated_parquet_is_named(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"t\.parquet' must be a readable parquet file"):
        read_table(tmp_path / "t.parquet")


def test_table_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(
        InvalidInput, match=r"A table must be a file in \['\.csv', '\.csv\.gz', .*'\.tsv\.gz'\]; got '.*t\.xlsx'"
    ):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(InvalidInput, match="`path` must exist"):
        read_table(tmp_path / "none.csv")


# NPZ


def test_npz_gives_the_named_array_or_x_or_the_only_one(tmp_path: Path) -> None:
    X, y = np.arange(6.0).reshape(2, 3), np.array([0, 1])
    np.savez(tmp_path / "both.npz", X=X, y=y)
    np.savez(tmp_path / "one.npz", images=X)
    np.testing.assert_array_equal(read_npz(tmp_path / "both.npz"), X)
    np.testing.assert_array_equal(read_npz(tmp_path / "both.npz", "y"), y)
    np.testing.assert_array_equal(read_npz(str(tmp_path / "one.npz")), X)


def test_npz_that_does_not_name_its_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=1, b=2)
    with pytest.raises(InvalidInput, match=r"two\.npz' must hold the array 'X'; got \['a', 'b'\]\. Name one of them"):
        read_npz(tmp_path / "two.npz")
    with pytest.raises(InvalidInput, match=r"must hold the array 'c'; got \['a', 'b'\]"):
        read_npz(tmp_path / "two.npz", "c")


class Exploding:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Exploded, ("executed",)


class Exploded(Exception):
    def __init__(self, *_: str) -> None:
        raise AssertionError("a pickle was executed")


def test_npz_never_unpickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", X=np.array([Exploding()], dtype=object))
    with pytest.raises(
        InvalidInput, match=r"evil\.npz' must be a readable NPZ file of plain arrays; got: .*allow_pickle"
    ):
        read_npz(tmp_path / "evil.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut", b"\x93NUMPY"])
def test_broken_npz_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"t\.npz' must be a readable NPZ file of plain arrays; got: "):
        read_npz(tmp_path / "t.npz")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_truncated_and_corrupted_npz_are_named(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "t.npz", X=np.arange(5000))
    whole = (tmp_path / "t.npz").read_bytes()
    for broken in (whole[:-100], whole[:2000] + b"\x00" * 100 + whole[2100:], whole[:200] + b"\xff" + whole[201:]):
        (tmp_path / "t.npz").write_bytes(broken)
        with pytest.raises(InvalidInput, match=r"t\.npz' must be a readable NPZ file"):
            read_npz(tmp_path / "t.npz")


def test_a_plain_npy_file_is_no_npz(tmp_path: Path) -> None:
    with (tmp_path / "t.npz").open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(InvalidInput, match=r"t\.npz' must be an NPZ file; got an NPY file\. Save it with numpy\.savez"):
        read_npz(tmp_path / "t.npz")
