"""The command that serves models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import Device
from unalike.errors import InvalidParameter


def serve(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Saved models; clients call each by its file name, or as NAME=FILE says.", metavar="MODEL"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; beyond this machine only with keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: one that is free.", min=0, max=65535)] = 8000,
    key_file: Annotated[
        Path | None, typer.Option(help="File of keys' hashes; with it, every request needs a key.")
    ] = None,
    new_key: Annotated[
        str | None, typer.Option(help="Make a key of this name in --key-file, print it once, and end.", metavar="NAME")
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name by which clients may call the service, such as that of a proxy.")
    ] = None,
    batch_rows: Annotated[
        int, typer.Option(help="Requests are scored together up to so many rows; 1 joins none.", min=1)
    ] = 256,
    batch_wait: Annotated[
        float, typer.Option(help="Milliseconds that a request waits at most for others that are being read.", min=0)
    ] = 5.0,
    most_waiting: Annotated[
        int, typer.Option(help="Requests of a model that may wait; more are sent back, status 429.", min=1)
    ] = 256,
    most_megabytes: Annotated[float, typer.Option(help="Of one request; larger ones are refused, status 413.")] = 64.0,
    time_out: Annotated[float, typer.Option(help="Seconds that a request may take; then status 504.")] = 60.0,
    certificate: Annotated[Path | None, typer.Option(help="For HTTPS: file of the certificate, PEM.")] = None,
    private_key: Annotated[Path | None, typer.Option(help="For HTTPS: file of its key, PEM.")] = None,
    device: Device = "auto",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each request.")] = False,
) -> None:
    """Serve models over HTTP, with a page at / where files can be dropped.

    POST /detect /explain /embed, GET /models /health /openapi.json. A model whose file changes is loaded anew.
    """
    from unalike.service.keys import new_key as make_key

    if new_key is not None:
        if key_file is None:
            raise InvalidParameter("`--new-key` must go with --key-file, where the key's hash is kept. Give one.")
        typer.echo(make_key(key_file, new_key))
        typer.echo(f"This key is shown once; {key_file} holds its hash.", err=True)
        return
    paths = _named(models or [])
    from unalike.service.running import serve as run
    from unalike.service.settings import Settings

    settings = Settings(
        batch_rows=batch_rows,
        batch_wait=batch_wait / 1000.0,
        most_waiting=most_waiting,
        most_megabytes=most_megabytes,
        time_out=time_out,
        hosts=tuple(allowed_host or ()),
    )
    run(
        paths,
        host=host,
        port=port,
        settings=settings,
        key_file=key_file,
        device=device,
        certificate=certificate,
        private_key=private_key,
        access_log=verbose,
        started=lambda address: typer.echo(f"{', '.join(paths)} served at {address}; Ctrl-C ends it"),
    )


def _named(models: list[Path]) -> dict[str, Path]:
    """Files by the names that clients call them."""
    if not models:
        raise InvalidParameter(
            "`MODEL` must name at least one saved model; got none. Give the file that fit has written."
        )
    named: dict[str, Path] = {}
    for model in models:
        name, given, path = str(model).partition("=")
        found = model if not given or model.exists() else Path(path)
        name = name if found is not model else model.stem
        if not name or name in named:
            raise InvalidParameter(f"`MODEL` must have a name of its own; got {name!r} twice. Name one by NAME=FILE.")
        named[name] = found
    return named
