"""Limits of the service."""

from __future__ import annotations

from dataclasses import dataclass

from unalike.errors import InvalidParameter
from unalike.plain import is_number, is_whole

MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a service takes on, and how long it waits.

    Parameters
    ----------
    batch_rows : int
        Requests of many clients are scored together, up to so many parts (rows, images, windows); 1 joins none.
    batch_wait : float
        Seconds that a request waits at most for others to be joined with, and only while others are being read.
    most_waiting : int
        Requests of one model that may wait; more are sent back with status 429.
    most_megabytes : float
        Of the body of one request; larger ones are refused with status 413.
    most_megabytes_at_once : float
        Of the bodies of all requests that are being read or judged; more are sent back with status 429.
    most_samples : int
        Of one request; more are refused with status 413.
    most_explained : int
        Samples of one request that are explained; those with the highest scores come first.
    time_out : float
        Seconds from the first byte of a request to its answer; then it ends with status 504.
    watch : float
        Seconds between looks at the files of models and keys; one that changed is loaded anew. 0: never.
    hosts : tuple of str
        Names beside those of this machine by which clients may call it; of a service that listens on loopback only.
    """

    batch_rows: int = 256
    batch_wait: float = 0.005
    most_waiting: int = 256
    most_megabytes: float = 64.0
    most_megabytes_at_once: float = 512.0
    most_samples: int = 100_000
    most_explained: int = 50
    time_out: float = 60.0
    watch: float = 2.0
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch_rows", "most_waiting", "most_samples", "most_explained"):
            if not is_whole(getattr(self, name), 1):
                raise InvalidParameter(f"`{name}` must be a whole number of 1 or more; got {getattr(self, name)!r}.")
        for name in ("most_megabytes", "most_megabytes_at_once", "time_out"):
            if not (is_number(getattr(self, name)) and getattr(self, name) > 0):
                raise InvalidParameter(f"`{name}` must be a number above 0; got {getattr(self, name)!r}.")
        for name in ("batch_wait", "watch"):
            if not (is_number(getattr(self, name)) and getattr(self, name) >= 0):
                raise InvalidParameter(f"`{name}` must be a number of seconds, 0 or more; got {getattr(self, name)!r}.")
        hosts: object = self.hosts
        if isinstance(hosts, str):
            raise InvalidParameter(f"`hosts` must be a sequence of names; got {hosts!r}. Use ({hosts!r},).")
