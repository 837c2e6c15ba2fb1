"""The command that shows samples beside their views."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import Column, Data, Encoding, Entity, Key, Mask, Seed, Session, Step, Time, Window
from unalike.errors import InvalidParameter


def views(
    data: Data,
    modality: Annotated[
        str, typer.Option("--modality", "-m", help="image, series, table or text.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the page, .html.", show_default=False)],
    key: Key = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Column, NPZ array or file that names each sample's group; near-copies share one."),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column that names the rows on the page.")] = None,
    time: Time = None,
    entity: Entity = None,
    window: Window = None,
    step: Step = None,
    column: Column = None,
    session: Session = None,
    mask: Mask = None,
    encoding: Encoding = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--views", help="View by its short name, instead of the default; may be repeated."),
    ] = None,
    samples: Annotated[int, typer.Option(help="How many samples are shown.", min=1)] = 8,
    seed: Seed = 0,
) -> None:
    """Check views of normal samples without labels, and write a page of samples beside their views."""
    from unalike import writing
    from unalike.cli import inputs, outputs, settings
    from unalike.data import count
    from unalike.viewcheck import check_views
    from unalike.viewcheck.material import LEAST_SAMPLES
    from unalike.viewpage import view_page

    if out.suffix.lower() not in (".html", ".htm"):
        raise InvalidParameter(f"`--out` must end in .html; got {str(out)!r}.")
    writing.writable(out)
    own = {"ignore": ignore, "id": id_column, "time": time, "entity": entity, "window": window, "step": step}
    own |= {"column": column, "session": session, "mask": mask, "encoding": encoding}
    kind = settings.modality(modality, {}, own)
    X = inputs.read_data(data, key, kind)
    codes = inputs.beside(X, data, kind, groups=groups).get("groups")
    kind = settings.without(kind, inputs.columns_among(X, [groups]))
    n = count(kind.check(X))
    checks = None if n < LEAST_SAMPLES else check_views(X, kind, views=names or None, groups=codes, seed=seed)
    page = view_page(X, kind, views=names or None, samples=samples, seed=seed, checks=checks)
    with writing.whole_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    console = outputs.plain_console()
    told = f"nothing is measured: {n} samples are fewer than {LEAST_SAMPLES}" if checks is None else str(checks)
    console.print(told, soft_wrap=True)
    console.print(f"page written to {out}", soft_wrap=True)
