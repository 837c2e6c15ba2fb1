"""The floors of pyproject.toml hold: a file imports only lower ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lint(config: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], no_cache=True))"
    )
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(config)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_floors_hold() -> None:
    run = lint(ROOT / "pyproject.toml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_a_broken_floor_would_be_found(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '  "errors",\n]' in text
    upside_down = text.replace('  "errors",\n]', "]").replace("layers = [\n", 'layers = [\n  "errors",\n')
    (tmp_path / "pyproject.toml").write_text(upside_down, encoding="utf-8")
    run = lint(tmp_path / "pyproject.toml")
    assert run.returncode == 1
    assert "is not allowed to import unalike.errors" in run.stdout
