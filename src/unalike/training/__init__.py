"""The one training loop, ignorant of modality and objective, with its checkpoints.

`settings` checks and merges; `plan` counts epochs and steps; `rows` draws batches; `probe` watches the embedding;
`early_stop` stops early; `chunked` caches gradients; `featurecache` keeps what a frozen stem gives; `checkpoints` (with
`identity`, what forbids resuming) writes and reads; `loop` is the loop.
"""

from __future__ import annotations

from unalike.training.checkpoints import Checkpoint, branch_checkpoint, open_folder
from unalike.training.featurecache import on_fixed_views
from unalike.training.loop import History, train
from unalike.training.plan import total_steps
from unalike.training.rows import TrainingRows
from unalike.training.settings import check, settle

__all__ = [
    "Checkpoint",
    "History",
    "TrainingRows",
    "branch_checkpoint",
    "check",
    "on_fixed_views",
    "open_folder",
    "settle",
    "total_steps",
    "train",
]
