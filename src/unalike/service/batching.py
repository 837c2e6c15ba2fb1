"""One thread per model that does what requests ask, and scores those of many clients together.

A network costs little more for thirty samples than for one, and a detector is used by one thread at a time. A request
waits for others only while there are some that are being read: a single client waits for nobody.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from unalike.errors import UnalikeError

_REMEMBERED = 0.1
"""Weight of the newest batch in the mean time that a request takes."""


class Full(UnalikeError):
    """Too many requests wait.

    Parameters
    ----------
    retry_after : int
        Seconds after which there should be room.
    """

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(eq=False)
class Job:
    """What a request asks of a model.

    Parameters
    ----------
    run : callable
        A list of payloads to a list of results, or of exceptions in their places.
    payload : Any
        Of this request.
    size : int
        Parts that it makes.
    joins : bool
        Whether jobs with an equal `run` may be done together.
    """

    run: Callable[[Sequence[Any]], Sequence[Any]]
    payload: Any
    size: int = 1
    joins: bool = True
    result: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


@dataclass
class Counts:
    """What a worker has done: `jobs` in `batches`, of `parts` altogether, the largest of `most` jobs."""

    jobs: int = 0
    batches: int = 0
    parts: int = 0
    most: int = 0


class Worker:
    """The thread of one model.

    Parameters
    ----------
    name : str
        Of the model.
    batch_rows, batch_wait, most_waiting
        As `Settings`.
    """

    def __init__(self, name: str, *, batch_rows: int, batch_wait: float, most_waiting: int) -> None:
        self.counts = Counts()
        self._rows, self._wait, self._most = batch_rows, batch_wait, most_waiting
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._coming = 0
        self._seconds = 0.0  # of one job, a moving mean
        self._thread = threading.Thread(target=self._work, name=f"unalike-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    def expect(self, change: int) -> None:
        """Tell that a request is being read (1), or no longer (-1)."""
        with self._changed:
            self._coming += change
            self._changed.notify()

    def seconds_to_wait(self) -> int:
        """0 where there is room for a request, else the seconds after which there should be."""
        waiting = len(self._jobs)
        return max(1, math.ceil(self._seconds * waiting)) if waiting >= self._most else 0

    def submit(self, job: Job) -> Future[Any]:
        """Put a job behind the others; its result comes when it is done.

        Raises
        ------
        Full
            When as many wait as may, or the worker is closed.
        """
        with self._changed:
            if self._closed:
                raise Full("The service is shutting down. Try again later.")
            if seconds := self.seconds_to_wait():
                raise Full(f"{len(self._jobs)} requests wait, as many as may. Try again in {seconds} s.", seconds)
            self._jobs.append(job)
            self._changed.notify()
        return job.result

    def close(self) -> None:
        """Take no more jobs, and come back when those that were accepted are done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (batch := self._batch()) is not None:
            begun = time.monotonic()
            running = [job for job in batch if job.result.set_running_or_notify_cancel()]
            if not running:
                continue
            for job, result in zip(running, _results(running), strict=True):
                if isinstance(result, BaseException):
                    job.result.set_exception(result)
                else:
                    job.result.set_result(result)
            self._count(running, (time.monotonic() - begun) / len(running))

    def _count(self, done: Sequence[Job], seconds: float) -> None:
        counts = self.counts
        self._seconds += (_REMEMBERED if counts.batches else 1.0) * (seconds - self._seconds)
        self.counts = Counts(
            counts.jobs + len(done),
            counts.batches + 1,
            counts.parts + sum(job.size for job in done),
            max(counts.most, len(done)),
        )

    def _batch(self) -> list[Job] | None:
        """The next jobs, which are done together; None after `close`, when there are no more."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return None
                self._changed.wait()
            until = self._jobs[0].arrived + self._wait
            while self._is_open_for_more() and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            batch = [self._jobs.popleft()]
            while self._jobs and self._fits(batch, self._jobs[0]):
                batch.append(self._jobs.popleft())
            return batch

    def _is_open_for_more(self) -> bool:
        first = self._jobs[0]
        joined = sum(job.size for job in self._jobs)
        return not self._closed and self._coming > 0 and first.joins and joined < self._rows

    def _fits(self, batch: Sequence[Job], job: Job) -> bool:
        first = batch[0]
        alike = first.joins and job.joins and job.run == first.run
        return alike and sum(one.size for one in batch) + job.size <= self._rows


def _results(batch: Sequence[Job]) -> Sequence[Any]:
    """A result or an exception for each job; where they fail together, each is done alone, and fails alone."""
    try:
        return batch[0].run([job.payload for job in batch])
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [_results([job])[0] for job in batch]
