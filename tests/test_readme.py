"""The two READMEs say the same, and what they point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "README.zh.md")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code(name: str) -> list[str]:
    """Code blocks without their comments."""
    blocks = re.findall(r"```\w+\n(.*?)```", text(name), flags=re.S)
    return ["\n".join(re.sub(r"\s*#.*", "", line) for line in block.splitlines()) for block in blocks]


def figures(name: str) -> list[list[str]]:
    """The numbers of every row of every table."""
    rows = [line for line in text(name).splitlines() if line.startswith("|")]
    return [re.findall(r"\d*\.?\d+", re.sub(r"[(（].*?[)）]", "", row)) for row in rows]


def links(name: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text(name))) - set(FILES)


def test_both_languages_show_the_same_code() -> None:
    assert code("README.md") == code("README.zh.md")


def test_both_languages_give_the_same_figures() -> None:
    assert figures("README.md") == figures("README.zh.md")
    commands = [re.findall(r"`(python -m benchmarks[^`]*)`", text(name)) for name in FILES]
    assert commands[0] == commands[1]


def test_both_languages_point_to_the_same_places() -> None:
    assert links("README.md") == links("README.zh.md")


@pytest.mark.parametrize("name", FILES)
def test_what_is_pointed_to_is_there(name: str) -> None:
    for link in links(name):
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), flags=re.M)
            assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_the_first_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code("README.md")[0], "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "zeros.unalike").exists()
    assert "is_anomaly" in capsys.readouterr().out
