from __future__ import annotations

import decimal
from fractions import Fraction

import pytest

from unalike.errors import InvalidParameter
from unalike.lookup import exported, named

NAMES = {"fraction": "fractions:Fraction", "decimal": "decimal:Decimal"}


def test_named_loads_the_object() -> None:
    assert named("kind", NAMES, "fraction") is Fraction
    assert named("kind", NAMES, "decimal") is decimal.Decimal


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        InvalidParameter,
        match=r"`kind` must be one of \['decimal', 'fraction'\] or an object of the right shape; got 'Fraction'",
    ):
        named("kind", NAMES, "Fraction")


def test_exported_goes_by_the_name_of_the_class() -> None:
    assert exported("stage", NAMES, "Fraction") is Fraction
    with pytest.raises(AttributeError, match="module 'stage' has no attribute 'fraction'"):
        exported("stage", NAMES, "fraction")


def test_exported_does_not_import_the_others() -> None:
    assert exported("stage", {"broken": "no_such_module:Thing", **NAMES}, "Decimal") is decimal.Decimal
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        exported("stage", {"broken": "no_such_module:Thing"}, "Thing")
