"""Is there memory for what comes next? To be asked before it is taken: who runs out is killed without a word."""

from __future__ import annotations

from pathlib import Path

from unalike.errors import NotEnoughMemory

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def need_room(size: float, what: str, advice: str) -> None:
    """Refuse to begin what takes more bytes than are free.

    Parameters
    ----------
    size : float
        Bytes.
    what : str
        What takes them, as the subject of the error.
    advice : str
        What takes less.

    Raises
    ------
    NotEnoughMemory
        When fewer bytes are free. Where nobody tells how many are, nothing is refused.
    """
    free = available()
    if free is not None and size > free:
        raise NotEnoughMemory(
            f"{what} must fit into memory; it takes about {size / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are free. "
            f"{advice}"
        )


def available() -> int | None:
    """Bytes that this process could take: of the machine and, in a container, of its limit; None off Linux."""
    try:
        told = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    limit = _of_group()
    return free if limit is None else min(free, limit)


def _of_group() -> int | None:
    """Of the control group; files that it has read can be dropped."""
    try:
        limit = int((_GROUP / "memory.max").read_text())
        used = int((_GROUP / "memory.current").read_text())
        parts = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # there is no group, or "max"
        return None
    return max(limit - used + int(parts.get("inactive_file", 0)), 0)
