"""Commands that learn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import (
    Column,
    Data,
    Device,
    Encoding,
    Entities,
    Entity,
    Key,
    LongestGap,
    Mask,
    Model,
    OnError,
    Quiet,
    Rate,
    Scale,
    Session,
    Step,
    ThresholdName,
    Time,
    Window,
    Workers,
)


def fit(
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the model.", show_default=False)],
    modality: Annotated[
        str | None,
        typer.Option("--modality", "-m", help="image, series, table or text; needed unless --config says it."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings; options win over it.")] = None,
    key: Key = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="Column, NPZ array or file that names each sample's group; near-copies share one. Images: also a "
            "pattern such as '(tile[0-9]+)' of their paths, or near-copies: find them."
        ),
    ] = None,
    entities: Entities = None,
    anomalies: Annotated[
        Path | None, typer.Option(help="A few labelled anomalies, of the same kind as DATA, to learn from.")
    ] = None,
    expected_anomalies: Annotated[
        float | None,
        typer.Option(help="Largest share of DATA that may be anomalies, such as 0.05, when nobody could clean it."),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column that names the rows in the results.")] = None,
    time: Time = None,
    entity: Entity = None,
    window: Window = None,
    step: Step = None,
    longest_gap: LongestGap = None,
    scale: Scale = None,
    column: Column = None,
    session: Session = None,
    mask: Mask = None,
    encoding: Encoding = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Texts: pretrained encoder, a local folder of a Hugging Face or sentence-transformers model, or its "
            "name on the hub, which is downloaded.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="Images: pretrained network by its name in timm; tf_efficientnet_lite0 when not given."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Images: its weights, a local file, or hub: downloaded. Without them one is trained."),
    ] = None,
    on_error: OnError = None,
    workers: Workers = None,
    encoder: Annotated[
        str | None, typer.Option(help="By name. With one part exchanged, one branch is trained.")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="By name; frozen does not train.")] = None,
    scorer: Annotated[str | None, typer.Option(help="By name.")] = None,
    threshold: ThresholdName = None,
    false_alarm_rate: Rate = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training samples.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, instead of --epochs.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder in which training is kept; the same command goes on from there.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="One seed gives one result; 0 when not given.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1…; auto when not given.")] = None,
    quiet: Quiet = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell the progress of training, also without a terminal.")
    ] = False,
) -> None:
    """Learn from normal samples and write a model; under torchrun in several processes, of which one writes."""
    from unalike.cli import images, inputs, outputs, settings
    from unalike.detector import Detector
    from unalike.parallel import is_first
    from unalike.persistence import save
    from unalike.persistence.containers import check_target

    check_target(output)
    quiet = quiet or not is_first()
    options = {
        "encoder": encoder,
        "objective": objective,
        "scorer": scorer,
        "expected_anomalies": expected_anomalies,
        "random_state": seed,
        "device": device,
    }
    keywords = settings.merged(config, options)
    own = {"ignore": ignore, "id": id_column, "time": time, "entity": entity, "window": window, "step": step}
    own |= {"column": column, "session": session, "mask": mask, "encoding": encoding, "model": pretrained}
    own |= {"network": network, "weights": weights}
    kind = settings.modality(
        modality,
        keywords,
        {**own, "longest_gap": longest_gap, "scale": scale, "on_error": on_error, "workers": workers},
    )
    X = inputs.read_data(data, key, kind)
    beside = inputs.beside(X, data, kind, groups=groups, entities=entities)
    keywords["modality"] = settings.without(kind, inputs.columns_among(X, (groups, entities)))
    keywords["training"] = settings.training(keywords.get("training"), epochs, steps)
    keywords["threshold"] = settings.threshold(
        keywords.get("threshold", "conformal"), threshold, false_alarm_rate, by_entity=entities is not None
    )
    shown = _shows_progress(quiet, verbose or keywords.get("progress", False))
    detector = Detector(**{**keywords, "progress": shown})
    if anomalies is not None:
        beside["anomalies"] = inputs.read_data(anomalies, key, kind)
    detector.fit(X, checkpoint=checkpoint, **beside)
    # Not of the terminal that it was trained in: one seed gives one file.
    detector.progress = keywords.get("progress", False)
    if is_first():
        save(detector, output)
    if not quiet:
        outputs.show_fit(outputs.plain_console(), detector, output)
        images.show_skipped(outputs.plain_console(), detector.skipped_, kind)


def calibrate(
    data: Data,
    model: Model,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the model; without it, in its place.")
    ] = None,
    threshold: ThresholdName = None,
    false_alarm_rate: Rate = None,
    entities: Entities = None,
    key: Key = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Set the threshold anew on normal samples that did not train, without training.

    They replace the earlier calibration samples. The model is written whole, or stays as it was.
    """
    from unalike.cli import inputs, outputs, settings
    from unalike.persistence import load, save
    from unalike.persistence.containers import check_target

    target = model if output is None else output
    check_target(target)
    detector = load(model)
    X = inputs.read_data(data, key, detector.modality_)
    beside = inputs.beside(X, data, detector.modality_, entities=entities)
    own = {"device": detector.device, "progress": detector.progress}
    detector.set_params(
        device=device,
        progress=_shows_progress(quiet, False),
        threshold=settings.threshold(detector.threshold, threshold, false_alarm_rate, by_entity=entities is not None),
    )
    detector.calibrate(X, **beside)
    _ = detector.threshold_.threshold_
    save(detector.set_params(**own), target)
    if not quiet:
        outputs.show_calibration(outputs.plain_console(), detector, target)


def _shows_progress(quiet: bool, verbose: bool) -> bool:
    return not quiet and (verbose or sys.stderr.isatty())
