"""What stands in a loaded model for parts of the user's, which files do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NoReturn

from unalike.errors import InvalidParameter


@dataclass(frozen=True)
class Unavailable:
    """Stands in a loaded model for a view, objective or other part of the user's, which files do not hold.

    Equal to another of the same name. A loaded model scores without it; to fit again, set the part anew.

    Parameters
    ----------
    name : str
        ``"module:Name"`` of the class or function.

    Raises
    ------
    InvalidParameter
        When it is used.
    """

    name: str

    def __call__(self, data: Any, generator: Any = None) -> NoReturn:
        self._refuse()

    def build(self, *shape: Any) -> NoReturn:
        """As `types.EncoderSettings` and `types.ObjectiveSettings`; raises."""
        self._refuse()

    def fit(self, embeddings: Any, reference: Any = None, groups: Any = None) -> NoReturn:
        """As `types.Scorer`; raises."""
        self._refuse()

    def score(self, embeddings: Any) -> NoReturn:
        """As `types.Scorer`; raises."""
        self._refuse()

    def score_samples(self, embeddings: Any) -> NoReturn:
        """As an outlier detector's; raises."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InvalidParameter(
            f"The part {self.name} of yours must be there to fit again; a saved model holds only its name. Set it "
            "anew with detector.set_params(...)."
        )


def unavailable(value: Any) -> str | None:
    """The name of the first `Unavailable` in settings, or None."""
    if isinstance(value, Unavailable):
        return value.name
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, (list, tuple)):
        inner = list(value)
    elif is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, part.name) for part in fields(value)]
    else:
        return None
    return next((name for name in map(unavailable, inner) if name is not None), None)
