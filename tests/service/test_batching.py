"""The thread of a model: what is joined, what is refused, what happens when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait

import pytest

from unalike.service.batching import Full, Job, Worker


class Recorder:
    """Doubles numbers, and remembers which it was given together; held until `go`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.begun = threading.Event()

    def run(self, payloads: Sequence[int]) -> list[int]:
        self.begun.set()
        self.go.wait(10)
        self.batches.append(list(payloads))
        if -1 in payloads:
            raise ValueError("no")
        return [2 * payload for payload in payloads]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def worker(recorder: Recorder) -> Iterator[Worker]:
    made = Worker("x", batch_rows=4, batch_wait=0.0, most_waiting=6)
    yield made
    recorder.go.set()
    made.close()


def held(worker: Worker, recorder: Recorder) -> Job:
    """A job that keeps the thread busy."""
    first = Job(recorder.run, 0)
    worker.submit(first)
    assert recorder.begun.wait(10)
    return first


def test_what_waits_is_joined_up_to_so_many_rows(worker: Worker, recorder: Recorder) -> None:
    first = held(worker, recorder)
    jobs = [Job(recorder.run, number, size=size) for number, size in ((1, 1), (2, 2), (3, 1), (4, 3), (5, 9))]
    results = [worker.submit(job) for job in jobs]
    recorder.go.set()
    assert [result.result(10) for result in results] == [2, 4, 6, 8, 10]
    assert first.result.result(10) == 0
    assert recorder.batches == [[0], [1, 2, 3], [4], [5]]
    assert (worker.counts.jobs, worker.counts.batches, worker.counts.parts, worker.counts.most) == (6, 4, 17, 3)


def test_other_work_stands_alone_and_keeps_its_place(worker: Worker, recorder: Recorder) -> None:
    held(worker, recorder)
    other = Recorder()
    other.go.set()
    results = [
        worker.submit(job)
        for job in (
            Job(recorder.run, 1),
            Job(recorder.run, 2, joins=False),
            Job(other.run, 3),
            Job(recorder.run, 4),
            Job(recorder.run, 5),
        )
    ]
    recorder.go.set()
    wait(results, 10)
    assert recorder.batches == [[0], [1], [2], [4, 5]]
    assert other.batches == [[3]]


def test_one_that_fails_does_not_take_the_others_along(worker: Worker, recorder: Recorder) -> None:
    held(worker, recorder)
    results = [worker.submit(Job(recorder.run, number)) for number in (1, -1, 2)]
    recorder.go.set()
    assert (results[0].result(10), results[2].result(10)) == (2, 4)
    with pytest.raises(ValueError, match="no"):
        results[1].result(10)


def test_what_was_taken_back_is_not_done(worker: Worker, recorder: Recorder) -> None:
    held(worker, recorder)
    results = [worker.submit(Job(recorder.run, number)) for number in (1, 2, 3)]
    assert results[1].cancel()
    recorder.go.set()
    assert results[2].result(10) == 6
    assert recorder.batches == [[0], [1, 3]]


def test_too_many_are_refused_with_a_time_to_come_back(worker: Worker, recorder: Recorder) -> None:
    held(worker, recorder)
    results = [worker.submit(Job(recorder.run, number)) for number in range(6)]
    with pytest.raises(Full, match="6 requests wait") as refused:
        worker.submit(Job(recorder.run, 7))
    assert refused.value.retry_after >= 1
    recorder.go.set()
    assert [result.result(10) for result in results] == [0, 2, 4, 6, 8, 10]
    worker.submit(Job(recorder.run, 8)).result(10)


def test_closing_finishes_what_was_accepted(recorder: Recorder) -> None:
    worker = Worker("x", batch_rows=4, batch_wait=0.0, most_waiting=6)
    held(worker, recorder)
    results = [worker.submit(Job(recorder.run, number)) for number in (1, 2)]
    closing = threading.Thread(target=worker.close)
    closing.start()
    time.sleep(0.05)
    with pytest.raises(Full, match="shutting down"):
        worker.submit(Job(recorder.run, 3))
    recorder.go.set()
    closing.join(10)
    assert [result.result(0) for result in results] == [2, 4]


def test_a_single_client_waits_for_nobody_and_several_for_each_other() -> None:
    recorder = Recorder()
    recorder.go.set()
    worker = Worker("x", batch_rows=2, batch_wait=5.0, most_waiting=6)
    begun = time.monotonic()
    worker.submit(Job(recorder.run, 1)).result(10)
    assert time.monotonic() - begun < 2.0
    worker.expect(1)  # another request is being read
    first = worker.submit(Job(recorder.run, 2))
    time.sleep(0.1)
    assert not first.done()
    worker.submit(Job(recorder.run, 3)).result(10)
    worker.expect(-1)
    assert recorder.batches == [[1], [2, 3]]
    assert time.monotonic() - begun < 4.0
    worker.close()
