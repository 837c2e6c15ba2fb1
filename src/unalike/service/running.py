"""Run the service with uvicorn, and end it well."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unalike.encoders.checks import needs
from unalike.errors import InvalidParameter
from unalike.service.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach a service that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def made(
    models: Mapping[str, str | Path],
    *,
    host: str,
    settings: Settings,
    key_file: str | Path | None = None,
    device: str | None = None,
) -> FastAPI:
    """The application for a service that listens at `host`.

    Raises
    ------
    InvalidParameter
        It can be reached from other machines, and there is no file of keys.
    MissingExtra
        FastAPI is not installed.
    """
    if not is_loopback(host) and key_file is None:
        raise InvalidParameter(
            f"`host` must be 127.0.0.1 or localhost without keys; got {host!r}, which other machines reach. Make a key "
            "by unalike serve --new-key NAME --key-file FILE, and give --key-file."
        )
    needs("serve", "fastapi", "serve")
    needs("serve", "python_multipart", "serve")
    from unalike.service.app import application
    from unalike.service.guard import LOCAL

    hosts = LOCAL if is_loopback(host) else settings.hosts or None
    return application(models, settings=settings, key_file=key_file, device=device, hosts=hosts)


def serve(
    models: Mapping[str, str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: Settings | None = None,
    key_file: str | Path | None = None,
    device: str | None = None,
    certificate: str | Path | None = None,
    private_key: str | Path | None = None,
    access_log: bool = False,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve models until the process is told to stop; then what was accepted is finished.

    Parameters
    ----------
    models : mapping of str to path
        Saved models, by the names that clients call them.
    host, port : str and int
        Where to listen; port 0: one that is free.
    settings : Settings, optional
        Limits.
    key_file : str or Path, optional
        Keys that `new_key` wrote; needed where other machines reach the service.
    device : str, optional
        As `unalike.load`.
    certificate, private_key : str or Path, optional
        Files in PEM, for HTTPS.
    access_log : bool
        Whether each request is a line on standard error.
    started : callable, optional
        Is told the address once the service listens.

    Raises
    ------
    CannotLoad
        A model cannot be loaded.
    InvalidParameter
        Other machines could reach the service without a key; half of the certificate is missing.
    MissingExtra
        FastAPI or uvicorn is not installed.
    """
    settings = Settings() if settings is None else settings
    if (certificate is None) != (private_key is None):
        raise InvalidParameter("`certificate` and `private_key` must be given together; got one of them. Give both.")
    uvicorn: Any = needs("serve", "uvicorn", "serve")
    app = made(models, host=host, settings=settings, key_file=key_file, device=device)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=int(settings.time_out) + 1,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
    )
    server = uvicorn.Server(config)
    if started is not None:
        _tell_when_started(server, started, "http" if certificate is None else "https")
    server.run()


def _tell_when_started(server: Any, started: Callable[[str], None], scheme: str) -> None:
    begin = server.startup

    async def startup(sockets: Any = None) -> None:
        await begin(sockets=sockets)
        for listening in server.servers:
            for socket in listening.sockets:
                host, port = socket.getsockname()[:2]
                started(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")

    server.startup = startup
