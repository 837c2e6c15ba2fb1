"""Why does a sample score as it does? The causes are places: columns of a row, channels of a run of steps, words."""

from unalike.explanation.explain import explain
from unalike.explanation.marks import marked, write_marked
from unalike.explanation.overlays import overlay, write_overlays
from unalike.explanation.pictures import Viewer
from unalike.explanation.samples import chosen_positions
from unalike.explanation.search import not_increasing
from unalike.explanation.words import Reader

__all__ = [
    "Reader",
    "Viewer",
    "chosen_positions",
    "explain",
    "marked",
    "not_increasing",
    "overlay",
    "write_marked",
    "write_overlays",
]
