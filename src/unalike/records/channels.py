"""The channels of records: alike in all, and those of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unalike.errors import InputWarning, InvalidInput, tell
from unalike.records.raw import Learned, Raw


def aligned(raws: Sequence[Raw], learned: Learned | None) -> list[Raw]:
    """All with the channels of training, or of the first record, in their order.

    A channel of training that a later frame lacks is missing in all of its steps, and a warning names it.

    Raises
    ------
    InvalidInput
        When records have other channels.
    """
    if learned is None:
        learned = Learned(raws[0].channels, raws[0].named)
        for raw in raws:
            _check_same(raw, raws[0])
    made = [_ordered(raw, learned) for raw in raws]
    lacking = dict.fromkeys(name for raw in raws if raw.named for name in learned.channels if name not in raw.channels)
    if learned.named and lacking:
        tell(
            f"`X` must have the channels of `fit`; got none called {list(lacking)}"
            f"{' in some of the records' if len(raws) > 1 else ''}. They count as missing in all steps.",
            InputWarning,
        )
    return made


def check_finite(raws: Sequence[Raw]) -> None:
    """Refuse infinite values.

    Raises
    ------
    InvalidInput
        When there are any.
    """
    for raw in raws:
        endless = np.isinf(raw.values)
        if endless.any():
            step, channel = (int(place) for place in np.argwhere(endless)[0])
            raise InvalidInput(
                f"Channel {raw.channels[channel]!r} of {raw.called()} must be finite or missing; got infinity in row "
                f"{step} (counted from 0). Clip it, or set it to NaN."
            )


def _check_same(raw: Raw, first: Raw) -> None:
    if raw.named and first.named and set(raw.channels) != set(first.channels):
        odd = sorted(set(raw.channels) ^ set(first.channels))
        raise InvalidInput(
            f"All records must have the same channels; {raw.called()} and {first.called()} differ in {odd}. Add them "
            "as NaN, or leave them out with ignore=."
        )
    if len(raw.channels) != len(first.channels):
        raise InvalidInput(
            f"All records must have the same channels; got {len(raw.channels)} in {raw.called()} and "
            f"{len(first.channels)} in {first.called()}. Give the same, with NaN where a record lacks one."
        )


def _ordered(raw: Raw, learned: Learned) -> Raw:
    if not (raw.named and learned.named):
        if len(raw.channels) != len(learned.channels):
            raise InvalidInput(
                f"`X` must have {len(learned.channels)} channels, as in `fit`; got {len(raw.channels)} in "
                f"{raw.called()}. Give those: {list(learned.channels)}."
            )
        return replace(raw, channels=learned.channels)
    if raw.channels == learned.channels:
        return raw
    values = np.full((len(raw.values), len(learned.channels)), np.nan)
    place = {name: number for number, name in enumerate(raw.channels)}
    for number, name in enumerate(learned.channels):
        if name in place:
            values[:, number] = raw.values[:, place[name]]
    return replace(raw, values=values, channels=learned.channels)
