"""The models of a service: by name, each with its thread, loaded anew when its file changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unalike.detector import Detector
from unalike.errors import InvalidParameter, UnalikeError
from unalike.hints import did_you_mean
from unalike.persistence import inspect, load
from unalike.service.batching import Full, Worker
from unalike.service.inputs import KINDS
from unalike.service.recent import Recent
from unalike.service.scoring import Decided, Ready, decide_together
from unalike.service.settings import Settings

log = logging.getLogger("unalike.service")

_TRIES = 5
"""A file that is replaced while it is read is read again."""

Signature = tuple[tuple[str, int, int, int], ...]


class Unknown(UnalikeError):
    """No model has the name that was asked for."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model as its file was when it was loaded.

    Parameters
    ----------
    detector : Detector
        Fitted. It is never changed: a file that changed becomes another `Loaded`.
    manifest : mapping
        What `persistence.inspect` says.
    signature : tuple
        Of the file.
    at : datetime
        When it was loaded.
    recent : Recent
        Scores of the latest samples.
    """

    detector: Detector
    manifest: Mapping[str, Any]
    signature: Signature
    at: datetime
    recent: Recent

    @property
    def version(self) -> str:
        """The beginning of the hash of the whole model."""
        return str(self.manifest["sha256"])[:12]

    def decide(self, several: Sequence[Ready]) -> Sequence[Decided | Exception]:
        """As `scoring.decide_together`; the scores are remembered."""
        decided = decide_together(self.detector, several)
        for one in decided:
            if isinstance(one, Decided):
                self.recent.add(one.decisions)
        return decided


class Served:
    """One model of a service.

    Parameters
    ----------
    name : str
        By which clients call it.
    path : Path
        Of its file or folder.
    settings : Settings
        Of the service.
    device : str, optional
        As `persistence.load`.

    Attributes
    ----------
    failure : str or None
        Why the file as it is now could not be loaded; the model that was loaded before goes on.
    """

    def __init__(self, name: str, path: Path, settings: Settings, device: str | None = None) -> None:
        self.name, self.path, self.failure = name, path, None
        self._device = device
        self._loading = threading.Lock()
        self._tried: Signature | None = None
        self.current = self._load()
        self.worker = Worker(
            name,
            batch_rows=settings.batch_rows,
            batch_wait=settings.batch_wait,
            most_waiting=settings.most_waiting,
        )

    failure: str | None

    def reload(self) -> Loaded:
        """Load the file as it is now; requests that were accepted before are still judged by the earlier model.

        Raises
        ------
        UnalikeError
            When it cannot be loaded; then the earlier model goes on, and `failure` tells why.
        """
        with self._loading:
            self._tried = _signature(self.path)
            try:
                self.current = self._load()
                self.failure = None
            except (UnalikeError, OSError) as error:
                self.failure = str(error)
                raise
        log.info("model %r: version %s loaded from %s", self.name, self.current.version, self.path)
        return self.current

    def look(self) -> None:
        """Load the file when it changed since it was last tried."""
        signature = _signature(self.path)
        if signature in (self.current.signature, self._tried) or not signature:
            return
        time.sleep(0.1)
        if _signature(self.path) != signature:  # a folder or a copy that is still being written
            return
        try:
            self.reload()
        except (UnalikeError, OSError) as error:
            log.warning("model %r stays at version %s: %s", self.name, self.current.version, error)

    def _load(self) -> Loaded:
        for _ in range(_TRIES):
            signature = _signature(self.path)
            detector, manifest = load(self.path, device=self._device), inspect(self.path)
            if _signature(self.path) == signature:
                break
        detector.progress = False
        if detector.modality_.name not in KINDS:
            raise InvalidParameter(
                f"A model that is served must be of {' or '.join(KINDS)} samples; {str(self.path)!r} is of "
                f"{detector.modality_.name!r}."
            )
        return Loaded(detector, manifest, signature, datetime.now(UTC), Recent(detector))


class Models:
    """The models of a service.

    Parameters
    ----------
    paths : mapping of str to Path
        File of each name.
    settings : Settings
        Of the service.
    device : str, optional
        As `persistence.load`.
    """

    def __init__(self, paths: Mapping[str, str | Path], settings: Settings, device: str | None = None) -> None:
        if not paths:
            raise InvalidParameter("`models` must name at least one model; got none. Give the file of one.")
        made: dict[str, Served] = {}
        try:
            for name, path in paths.items():
                made[name] = Served(name, Path(path), settings, device)
        except BaseException:
            _each_closed(made)
            raise
        self.served: Mapping[str, Served] = made

    def named(self, name: str | None) -> Served:
        """A model by its name; None: the only one.

        Raises
        ------
        Unknown
            When there is none of this name, or None with several.
        """
        if name is None and len(self.served) == 1:
            return next(iter(self.served.values()))
        if name is None:
            raise Unknown(f"`model` must name one of {list(self.served)}; got none. Say which one is meant.")
        if name not in self.served:
            raise Unknown(
                f"`model` must be one of {list(self.served)}; got {name!r}.{did_you_mean([name], self.served)}"
            )
        return self.served[name]

    def check_room(self) -> None:
        """Refuse a request before it is read, when no model has room.

        Raises
        ------
        Full
            When none has.
        """
        waits = [one.worker.seconds_to_wait() for one in self.served.values()]
        if all(waits):
            raise Full("As many requests wait as may. Try again later.", min(waits))

    def look(self) -> None:
        """Load anew what changed."""
        for one in self.served.values():
            one.look()

    def close(self) -> None:
        """Finish what was accepted."""
        _each_closed(self.served)


class Watch:
    """A thread that looks at files every few seconds.

    Parameters
    ----------
    seconds : float
        Between two looks; 0: there is no thread.
    look : callable
        What is done.
    """

    def __init__(self, seconds: float, look: Callable[[], None]) -> None:
        self._seconds, self._look = seconds, look
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="unalike-watch", daemon=True)
        if seconds > 0:
            self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._look()
            except Exception:  # the next look may be luckier
                log.exception("looking at the files failed")


def _each_closed(served: Mapping[str, Served]) -> None:
    for one in served.values():
        one.worker.close()


def _signature(path: Path) -> Signature:
    """What tells that a file, or one of a folder, is another one; empty where there is none."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            about = file.stat()
        except OSError:
            continue
        found.append((str(file), about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(found)
