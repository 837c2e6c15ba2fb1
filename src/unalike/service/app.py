"""The application: its routes, and a request's way through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response

from unalike import __version__
from unalike.data import count
from unalike.drift import Drift
from unalike.errors import (
    InvalidInput,
    InvalidParameter,
    MissingExtra,
    NotCalibrated,
    UnalikeError,
)
from unalike.service import answers, bodies, openapi, scoring
from unalike.service.batching import Full, Job
from unalike.service.bodies import Body
from unalike.service.guard import LOCAL, Access, Guard
from unalike.service.heard import hearing, listening
from unalike.service.inputs import TooLarge, from_files, from_json
from unalike.service.keys import Keys
from unalike.service.models import Loaded, Models, Served, Unknown, Watch
from unalike.service.settings import MEGABYTE, Settings
from unalike.types import Collection, InTime

log = logging.getLogger("unalike.service")

_PAGE = Path(__file__).parent / "page"
_PAGE_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
_THREADS = 8
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unknown, 404),
    (TooLarge, 413),
    (bodies.WrongType, 415),
    (Full, 429),
    (NotCalibrated, 409),
    (InvalidInput, 422),
    (InvalidParameter, 422),
    (MissingExtra, 501),
    (TimeoutError, 504),
)
_GONE = 499
_COMMON: Mapping[str, Callable[[Any], Any]] = {"model": bodies.text, "dtype": bodies.text}
_DETECT = {
    **_COMMON,
    "false_alarm_rate": bodies.rate,
    "false_discovery_rate": bodies.rate,
    "entities": bodies.names,
    "drift": bodies.flag,
}
_EXPLAIN = {
    **_COMMON,
    "only": bodies.positions,
    "most": bodies.whole,
    "most_places": bodies.whole,
    "pictures": bodies.flag,
}
_EMBED = {**_COMMON, "branch": bodies.text}

T = TypeVar("T")
"""What a thread gives back."""
Answer = Callable[["Service", Request, Served, Body], Awaitable[Response]]


class Gone(Exception):
    """The client has hung up."""


def application(
    models: Mapping[str, str | Path],
    *,
    settings: Settings | None = None,
    key_file: str | Path | None = None,
    device: str | None = None,
    hosts: tuple[str, ...] | None = LOCAL,
) -> FastAPI:
    """The service as an ASGI application, for one process.

    Parameters
    ----------
    models : mapping of str to path
        Saved models, by the names that clients call them.
    settings : Settings, optional
        Limits.
    key_file : str or Path, optional
        Keys that `new_key` wrote; None: whoever reaches the service may use it.
    device : str, optional
        As `unalike.load`.
    hosts : tuple of str, optional
        Names by which clients may call it, beside those of `settings`; None: any, which is right behind a proxy or
        with a key only.

    Raises
    ------
    CannotLoad
        A model cannot be loaded.
    InvalidParameter
        There is no model; a file of keys is none.
    """
    settings = Settings() if settings is None else settings
    if key_file is not None:  # before models are loaded, which takes longer
        Keys.read(key_file)
    service = Service(Models(models, settings, device), settings, key_file)
    app = FastAPI(
        title="unalike",
        version=__version__,
        description=openapi.ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=service.lifespan,
    )
    _add_routes(app, service)
    known = None if hosts is None else (*hosts, *settings.hosts)
    app.add_middleware(Guard, access=Access(lambda: service.keys, known), settings=settings)
    app.state.service = service
    return app


class Service:
    """What the routes share.

    Parameters
    ----------
    models : Models
        That are served.
    settings : Settings
        Limits.
    key_file : str or Path, optional
        As `application`.
    """

    def __init__(self, models: Models, settings: Settings, key_file: str | Path | None) -> None:
        self.models, self.settings = models, settings
        self._key_file = key_file
        self.keys = None if key_file is None else Keys.read(key_file)
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="unalike-request")

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """While the application runs, its warnings are heard and its files watched; then what was accepted ends."""
        with listening():
            watch = Watch(self.settings.watch, self.look)
            try:
                yield
            finally:
                watch.close()
                await asyncio.to_thread(self.close)

    def look(self) -> None:
        """Read anew what changed."""
        self.models.look()
        if self._key_file is not None:
            try:
                self.keys = Keys.read(self._key_file)
            except InvalidParameter as error:  # half-written, or a mistake: the earlier keys stay
                log.warning("keys stay as they were: %s", error)

    def close(self) -> None:
        """Finish what was accepted."""
        self.models.close()
        self.pool.shutdown()

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run in one of the threads of requests."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function)

    async def answer(self, request: Request, allowed: Mapping[str, Callable[[Any], Any]], make: Answer) -> Response:
        """A request's way: read, judged, answered; errors in the client's words."""
        with bodies.temporary_folder() as folder:
            body = Body(folder)
            try:
                self.models.check_room()
                async with asyncio.timeout(self.settings.time_out):
                    with self._expected(request):
                        body = await bodies.read(request, folder, allowed)
                        served = self.models.named(body.options.get("model"))
                    return await make(self, request, served, body)
            except HTTPException:
                raise
            except (Gone, ClientDisconnect):
                return Response(status_code=_GONE)
            except Exception as error:
                return self._refusal(error, body)

    @contextmanager
    def _expected(self, request: Request) -> Iterator[None]:
        """Whoever waits for others waits for this request while it is being read."""
        workers = [one.worker for one in self.models.served.values()]
        for worker in workers:
            worker.expect(1)
        try:
            yield
        finally:
            for worker in workers:
                worker.expect(-1)

    def _refusal(self, error: Exception, body: Body) -> Response:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        headers = {"retry-after": str(error.retry_after)} if isinstance(error, Full) else {}
        if status == 504:
            error = TooSlow(f"The answer was not ready within {self.settings.time_out:g} s. Send less, or try later.")
        elif status == 500:
            log.error("a request failed", exc_info=error)
        return _json(answers.of_error(error, body.told), status, headers)

    def checked(self, served: Served, body: Body) -> tuple[Loaded, Collection, list[str]]:
        """The model as it is now, checked samples and warnings."""
        loaded = served.current
        modality = loaded.detector.modality_
        with hearing() as heard:
            if body.files or body.samples is None:
                X = from_files(body.files, modality, self.settings.most_megabytes * MEGABYTE * 8)
            else:
                X = from_json(body.samples, modality, body.options.get("dtype"))
            X = modality.check(X)
        if count(X) > self.settings.most_samples:
            raise TooLarge(
                f"A request must hold at most {self.settings.most_samples:,} samples; got {count(X):,}. Send parts."
            )
        return loaded, X, heard

    async def done(self, request: Request, served: Served, job: Job) -> Any:
        """The result of a job; one that has not begun is taken back when the client hangs up or time runs out."""
        result = asyncio.wrap_future(served.worker.submit(job))
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise Gone
            return result.result()
        finally:
            gone.cancel()
            result.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone


class TooSlow(UnalikeError):
    """Time ran out."""


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def detect(service: Service, request: Request, served: Served, body: Body) -> Response:
    """Decisions."""
    loaded, ready = await service.in_thread(partial(_ready, service, served, body))
    decided = await service.done(request, served, Job(loaded.decide, ready, max(len(ready.owner), 1)))
    drift = {}
    if body.options.get("drift"):

        def compare(_: Sequence[Any]) -> list[Drift]:
            return [loaded.detector.drift(ready.X, decisions=decided.decisions)]

        found = await service.done(request, served, Job(compare, None, joins=False))
        drift = {"drift": found.to_dict()}
    return await service.in_thread(
        lambda: _json(
            {
                **_about(served, loaded),
                **answers.of_decisions(decided.decisions, loaded.detector, body.told),
                **drift,
                "warnings": [body.told(text) for text in decided.heard],
            }
        )
    )


def _ready(service: Service, served: Served, body: Body) -> tuple[Loaded, scoring.Ready]:
    loaded, X, heard = service.checked(served, body)
    asked = {name: body.options.get(name) for name in ("false_alarm_rate", "false_discovery_rate", "entities")}
    if asked["false_alarm_rate"] is not None and asked["false_discovery_rate"] is not None:
        raise InvalidParameter("`false_discovery_rate` must be alone; got a `false_alarm_rate` too. Leave one out.")
    with hearing() as more:
        made = scoring.ready(loaded.detector, X, heard, **asked)
    heard += more
    return loaded, made


async def explain(service: Service, request: Request, served: Served, body: Body) -> Response:
    """Explanations."""
    options = body.options
    loaded, X, heard = await service.in_thread(lambda: service.checked(served, body))
    most = min(options.get("most", service.settings.most_explained), service.settings.most_explained)

    def run(_: Sequence[Any]) -> list[tuple[scoring.Explained, list[str]]]:
        with hearing() as more:
            made = scoring.explain(loaded.detector, X, options.get("only"), most, options.get("most_places", 5))
        return [(made, more)]

    explained, more = await service.done(request, served, Job(run, None, count(X), joins=False))
    return await service.in_thread(
        lambda: _json(
            {
                **_about(served, loaded),
                **answers.of_explanations(explained, options.get("pictures", False), body.told),
                "warnings": [body.told(text) for text in dict.fromkeys([*heard, *more])],
            }
        )
    )


async def embed(service: Service, request: Request, served: Served, body: Body) -> Response:
    """Embeddings."""
    loaded, X, heard = await service.in_thread(lambda: service.checked(served, body))

    def run(_: Sequence[Any]) -> list[Any]:
        return [loaded.detector.embed(X, branch=body.options.get("branch"))]

    embeddings = await service.done(request, served, Job(run, None, count(X), joins=False))
    modality = loaded.detector.modality_

    def told() -> Response:
        owner = modality.cut(X)[1]
        first = owner if owner.ndim == 1 else owner[:, 0]
        ids = modality.ids(X)[first].tolist()
        of_entities = modality.timeline(X)[0][first].tolist() if isinstance(modality, InTime) else []
        return _json(
            {
                **_about(served, loaded),
                "count": len(embeddings),
                "ids": [body.told(one) if isinstance(one, str) else one for one in ids],
                **({"entities": of_entities} if any(of_entities) else {}),
                "embeddings": embeddings.tolist(),
                "warnings": [body.told(text) for text in heard],
            }
        )

    return await service.in_thread(told)


def _about(served: Served, loaded: Loaded) -> dict[str, Any]:
    return {"model": served.name, "version": loaded.version}


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(answers.as_json(value), status, headers, media_type="application/json")


def _add_routes(app: FastAPI, service: Service) -> None:
    _add_verbs(app, service)

    @app.get("/models", summary="The models, and what samples each takes.", responses=openapi.MODELS)
    def models() -> Response:
        return _json({"models": [answers.of_model(one) for one in service.models.served.values()]})

    @app.get("/models/{name}", summary="One model.", responses=openapi.MODEL)
    def model(name: str) -> Response:
        return _json(answers.of_one_model(service.models.named(name)))

    @app.post("/models/{name}/reload", summary="Load a model's file anew.", responses=openapi.MODEL)
    def reload(name: str) -> Response:
        served = service.models.named(name)
        try:
            served.reload()
        except (UnalikeError, OSError) as error:
            return _json({"detail": f"{error} The earlier version {served.current.version} goes on."}, 409)
        return _json(answers.of_model(served))

    @app.get("/health", summary="Whether the service runs.", responses=openapi.HEALTH)
    def health() -> Response:
        failed = sum(one.failure is not None for one in service.models.served.values())
        drifts = [one.current.recent.drift() for one in service.models.served.values()]
        return _json(
            {
                "status": "ok" if not failed else "models could not be loaded anew",
                "version": __version__,
                "models": len(service.models.served),
                "failed": failed,
                "drifted": sum(drift is not None and drift["drifted"] for drift in drifts),
            }
        )

    for path, name in _PAGE_FILES.items():
        app.add_api_route(path, _page_file(name), include_in_schema=False, response_model=None)

    @app.exception_handler(UnalikeError)
    async def refuse(request: Request, error: UnalikeError) -> Response:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return _json(answers.of_error(error, str), status)


def _page_file(name: str) -> Callable[[], FileResponse]:
    return lambda: FileResponse(_PAGE / name)


def _add_verbs(app: FastAPI, service: Service) -> None:
    verbs: tuple[tuple[str, Answer, Any, dict[str, Any]], ...] = (
        ("detect", detect, _DETECT, openapi.DETECT),
        ("explain", explain, _EXPLAIN, openapi.EXPLAIN),
        ("embed", embed, _EMBED, openapi.EMBED),
    )
    for name, make, allowed, told in verbs:
        app.post(f"/{name}", **told)(_route(service, allowed, make))


def _route(service: Service, allowed: Mapping[str, Callable[[Any], Any]], make: Answer) -> Any:
    async def route(request: Request) -> Response:
        return await service.answer(request, allowed, make)

    return route
