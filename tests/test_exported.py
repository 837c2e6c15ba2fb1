"""Every public name leads somewhere, and the lazy tables, `__all__` and what type checkers see agree."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import unalike

PACKAGES = ["encoders", "modalities", "objectives", "scorers", "views"]
STAGES = [*PACKAGES, "thresholds"]


def stage(name: str) -> ModuleType:
    return import_module(f"unalike.{name}")


def short_names(module: ModuleType) -> dict[str, str]:
    """The one public table of names of a stage."""
    (table,) = [value for name, value in vars(module).items() if name.isupper() and isinstance(value, dict)
                and not name.startswith("_")]  # fmt: skip
    return table


def names_for_type_checkers(module: ModuleType) -> set[str]:
    """What the file imports under ``if TYPE_CHECKING`` from unalike."""
    tree = ast.parse(Path(inspect.getfile(module)).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {name.asname or name.name for node in imports if "unalike" in str(node.module) for name in node.names}


@pytest.mark.parametrize("name", unalike.__all__)
def test_public_names_resolve(name: str) -> None:
    found = getattr(unalike, name)
    assert found.__name__.rpartition(".")[2] == name


def test_public_names_are_listed_once_and_shown() -> None:
    assert sorted(set(unalike.__all__)) == sorted(unalike.__all__)
    assert dir(unalike) == sorted(unalike.__all__)
    assert names_for_type_checkers(unalike) == set(unalike.__all__)
    assert unalike.__version__


@pytest.mark.parametrize("module", ["", *STAGES])
def test_unknown_names_are_attribute_errors(module: str) -> None:
    found = stage(module) if module else unalike
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = found.Nothing
    assert not hasattr(found, "Nothing")


@pytest.mark.parametrize("name", PACKAGES)
def test_everything_a_stage_lists_can_be_had(name: str) -> None:
    module = stage(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_see_what_a_stage_lists(name: str) -> None:
    module = stage(name)
    lazy = {public for public in module.__all__ if public not in vars(module)}
    assert lazy <= names_for_type_checkers(module)
    assert names_for_type_checkers(module) <= {*module.__all__, *vars(module)}


@pytest.mark.parametrize("name", STAGES)
def test_short_names_lead_to_objects(name: str) -> None:
    module = stage(name)
    for short, entry in short_names(module).items():
        path, _, attribute = entry.partition(":")
        assert short == short.lower()
        assert path.startswith("unalike.")
        found = getattr(import_module(path), attribute)
        assert getattr(module, attribute) is found
        assert name == "thresholds" or attribute in module.__all__
        assert found.__doc__


FRESH = """
import importlib, sys
heavy = ("torch", "sklearn", "pandas", "polars", "pyarrow", "timm", "torchvision", "lightning_fabric")
for name in sys.argv[1:]:
    importlib.import_module(name)
    found = [module for module in heavy if module in sys.modules]
    if found:
        sys.exit(f"importing {name} imports {found}")
import unalike
for name in unalike._MODULES:
    getattr(unalike, name)
unalike.Training, unalike.Branch, unalike.Decisions
print([module for module in heavy if module in sys.modules])
"""


def test_light_modules_import_nothing_heavy() -> None:
    light = ["unalike", *(f"unalike.{name}" for name in PACKAGES)]
    light += ["unalike.errors", "unalike.types", "unalike.data", "unalike.seeding", "unalike.thresholds"]
    run = subprocess.run([sys.executable, "-c", FRESH, *light], capture_output=True, text=True, check=False)  # noqa: S603
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
