"""``detect --engine ray``: the same decisions, made by many workers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from unalike.errors import InvalidParameter

ENGINES = ("local", "ray")


def is_ray(engine: str, concurrency: int | None) -> bool:
    """Whether Ray is asked for.

    Raises
    ------
    InvalidParameter
        `engine` is unknown, or is not Ray and workers are counted.
    """
    if engine not in ENGINES:
        raise InvalidParameter(f"`--engine` must be one of {list(ENGINES)}; got {engine!r}.")
    if engine == "local" and concurrency is not None:
        raise InvalidParameter("`--concurrency` must go with --engine ray; got --engine local. Leave it out.")
    return engine == "ray"


def detect(
    data: Path,
    model: Path,
    output: Path | None,
    *,
    key: str | None,
    rate: float | None,
    entities: str | None,
    concurrency: int | None,
    device: str,
    reading: dict[str, Any],
    others: dict[str, Any],
    quiet: bool,
) -> bool:
    """Judge, write and tell; whether there is an anomaly.

    Parameters
    ----------
    others : dict
        Options that Ray has no part in, by name; a value that is not None is refused.

    Raises
    ------
    InvalidParameter
        Another option is given, or no output in Parquet.
    """
    from unalike import ray
    from unalike.cli import inputs, judging, outputs

    given = [f"--{name.replace('_', '-')}" for name, value in others.items() if value is not None]
    if given:
        raise InvalidParameter(
            f"`{given[0]}` must go with --engine local, with all decisions at once; got --engine ray. Leave it out."
        )
    if output is None or output.suffix.lower() != ".parquet":
        found = "none" if output is None else repr(str(output))
        raise InvalidParameter(f"`--output` must be a .parquet file for --engine ray, written in parts; got {found}.")
    detector = judging.loaded(model, "cpu", quiet=True)
    held: Any = data
    if key is not None or entities is not None:
        held = inputs.read_data(data, key, detector.modality_)
    beside = inputs.beside(held, data, detector.modality_, entities=entities)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    decisions = ray.detect(
        model,
        held,
        false_alarm_rate=rate,
        concurrency=concurrency,
        gpus=1 if device.startswith("cuda") else 0,
        reading={name: value for name, value in reading.items() if value is not None},
        **beside,
    )
    decisions.context.enable_progress_bars = False
    written = ray.write_decisions(decisions, output)
    if not quiet:
        console = outputs.plain_console()
        console.print(f"{written.anomalies} of {written.rows - written.skipped} samples are anomalies")
        if written.skipped:
            console.print(f"{written.skipped} samples could not be read; the column error tells why")
        console.print(f"decisions written to {output}", soft_wrap=True)
    return written.anomalies > 0
