"""Save a fitted detector and load it with bit-equal scores, without pickle.

`archive` is the container (zip or directory, hashes), `codec` turns settings and learned state into JSON and
arrays, `parity` proves a loaded model, `saving` and `loading` put them together. Importing this does not import
torch, so that `inspect` answers at once.

What a model holds: settings and schema (column names, categories) as JSON, the encoders' weights, trained and
untrained, and what scorers, fusion and threshold have learned. It holds no raw samples, but mind that nearest
neighbours, kernel density, one-class SVM and wrapped outlier detectors keep embeddings, and that those of an encoder
that only rescales
(`encoders.Raw`, `encoders.RawTable`) *are* the rescaled training samples; ``RawTable(scaling="quantile")`` also
keeps up to 1,000 quantiles of each column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.persistence.absent import Unavailable
    from unalike.persistence.archive import inspect
    from unalike.persistence.loading import load
    from unalike.persistence.saving import save

_NAMES = {
    "inspect": "unalike.persistence.archive:inspect",
    "load": "unalike.persistence.loading:load",
    "save": "unalike.persistence.saving:save",
    "unavailable": "unalike.persistence.absent:Unavailable",
}

__all__ = ["Unavailable", "inspect", "load", "save"]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _NAMES, name)
