"""What stands before every route: who may call, how much a request may hold, and what browsers are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unalike.service.answers import as_json
from unalike.service.keys import Keys
from unalike.service.settings import MEGABYTE, Settings

LOCAL = ("localhost", "127.0.0.1", "[::1]")
OPEN = ("/", "/page.js", "/page.css", "/health", "/openapi.json")
"""Paths that need no key: they tell nothing of models or samples."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass
class Access:
    """Who may call.

    Parameters
    ----------
    keys : callable
        The keys in force; None: none are needed.
    hosts : tuple of str or None
        Names by which the service may be called; None: any. A page of somebody else's, whose name was made to lead to
        this machine (DNS rebinding), gives a name that is not among them.
    """

    keys: Callable[[], Keys | None]
    hosts: tuple[str, ...] | None


@dataclass
class _Load:
    """Bytes of the bodies of all requests that are under way."""

    held: int = 0


@dataclass
class Guard:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGI application
        Behind it.
    access : Access
        Who may call.
    settings : Settings
        Of the service.
    """

    app: ASGIApp
    access: Access
    settings: Settings
    _load: _Load = field(default_factory=_Load)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before its body is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = _with_headers(send)
        refused = self._refused(scope)
        if refused is not None:
            await _answer(told, *refused)
            return
        counted = _Counted(receive, self.settings, self._load)
        try:
            await self.app(scope, counted.receive, told)
        finally:
            counted.close()

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = _name(headers.get("host", ""))
        if self.access.hosts is not None and host not in self.access.hosts:
            return 400, f"`Host` must be one of {sorted(self.access.hosts)}; got {host!r}. Allow it by --allowed-host."
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in ("GET", "HEAD") and not _same(origin, headers):
            return 403, f"Pages of other origins may not call this service; got {origin!r}."
        keys = self.access.keys()
        if keys is not None and scope["path"] not in OPEN and keys.name_of(_key(headers)) is None:
            return 401, "A key is needed. Send it as a header: Authorization: Bearer KEY."
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return 400, "`Content-Length` must be a number."
        if int(length) > self.settings.most_megabytes * MEGABYTE:
            return 413, _too_large(self.settings)
        if int(length) + self._load.held > self.settings.most_megabytes_at_once * MEGABYTE:
            return 429, "Other requests hold as much as may be held at once. Try again in 1 s."
        return None


class _Counted:
    """Counts the bytes of a body while they come, and waits for them no longer than it may."""

    def __init__(self, receive: Receive, settings: Settings, load: _Load) -> None:
        self._receive, self._settings, self._load = receive, settings, load
        self._bytes = 0
        self._until = time.monotonic() + settings.time_out
        self._complete = False

    async def receive(self) -> Message:
        """The next message.

        Raises
        ------
        HTTPException
            413 for a body that is too large, 429 when all hold too much, 408 for one that does not come.
        """
        if self._complete:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._until - time.monotonic())
        except TimeoutError as error:
            raise HTTPException(408, "The body did not come in time. Send less, or faster.") from error
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self._bytes += size
            self._load.held += size
            self._complete = not message.get("more_body", False)
            if self._bytes > self._settings.most_megabytes * MEGABYTE:
                raise HTTPException(413, _too_large(self._settings))
            if self._load.held > self._settings.most_megabytes_at_once * MEGABYTE:
                raise HTTPException(
                    429, "Other requests hold as much as may be held at once. Try again in 1 s.", {"retry-after": "1"}
                )
        return message

    def close(self) -> None:
        """The request is over."""
        self._load.held -= self._bytes


def _too_large(settings: Settings) -> str:
    return f"A request must hold at most {settings.most_megabytes:g} MB; this one holds more. Send it in parts."


def _key(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _name(host: str) -> str:
    """A host without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _same(origin: str, headers: Headers) -> bool:
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _with_headers(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return told


async def _answer(send: Send, status: int, detail: str) -> None:
    more: dict[int, list[Any]] = {401: [(b"www-authenticate", b"Bearer")], 429: [(b"retry-after", b"1")]}
    body = as_json({"detail": detail})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *more.get(status, [])]})
    await send({"type": "http.response.body", "body": body})
