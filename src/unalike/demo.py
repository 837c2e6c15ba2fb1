"""The demonstration: three real sets that are on every machine with scikit-learn, from training to results on disk.

Handwritten digits as 8x8 images (even digits are normal, odd ones anomalies), the breast-cancer table (benign tumours
are normal, malignant ones anomalies) and texts (paragraphs of Python's reference manual are normal, those of
scikit-learn's descriptions of data sets anomalies). Half of the normal samples train; of the rest, half and all
anomalies test, and the other half is left for another threshold. The sets are small and easy: they show that everything
works, not how good the method is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from unalike import writing
from unalike.data import take
from unalike.detector import Detector
from unalike.judging import Judge, embed_parts
from unalike.modalities.text import Text
from unalike.parts import load_parts
from unalike.persistence import save
from unalike.report import write_report
from unalike.scorers.boundary import IsolationForest
from unalike.scorers.local import LocalKNN
from unalike.scorers.neighbors import KNN
from unalike.scorers.parametric import Centroid
from unalike.seeding import numpy_generator, resolve_device
from unalike.thresholds import Conformal
from unalike.types import Collection, FloatArray, IntArray, Scorer

if TYPE_CHECKING:
    from rich.console import Console

FALSE_ALARM_RATE = 0.05
RAW, WORDS = "raw input", "words"
_SHORTEST, _LONGEST = 80, 600
_MARKUP = ("  ", ">>>", "..", ":", "-", "*", "=", "|", "+")


@dataclass(frozen=True)
class Case:
    """A labelled set.

    Parameters
    ----------
    name : str
        Of its files.
    title : str
        What is normal in it and what is not.
    modality : str
        Of the detector.
    X : collection
        ``n`` samples.
    labels : ndarray
        ``(n,)`` int64, 1 for an anomaly.
    anomalous : str
        What the labels are called in files.
    """

    name: str
    title: str
    modality: str
    X: Collection
    labels: IntArray
    anomalous: str


@dataclass(frozen=True)
class Parted:
    """Positions in a `Case`: ``(m,)`` int64 each, disjoint."""

    train: IntArray
    test: IntArray
    calibration: IntArray


def run(out: str | Path, seed: int = 0, *, console: Console | None = None) -> dict[str, Any]:
    """Fit, judge, print and write all sets.

    Parameters
    ----------
    out : str or Path
        Folder that is made when it is missing. Per set it gets the model ``<name>.unalike``, the decisions
        ``<name>.csv`` and the report ``<name>.html``; all sets share ``summary.json``. To try the command line on,
        their samples are in ``breast-cancer-train.csv``, ``breast-cancer-test.csv`` (labels: column malignant),
        ``digits-train.npz`` and ``digits-test.npz`` (labels: array odd), ``manual-train.csv`` and ``manual-test.csv``
        (labels: column foreign). ``breast-cancer-calibration.csv``, ``digits-calibration.npz`` and
        ``manual-calibration.csv`` hold normal samples that neither trained nor test, for another threshold.
    seed : int
        One seed gives one result.
    console : rich.console.Console, optional
        Where to print; None is the terminal.

    Returns
    -------
    dict
        What ``summary.json`` holds: per set ``auroc`` by embedding and scorer, ``default_auroc``,
        ``false_alarm_rate`` (stated) and ``realised_false_alarm_rate`` (on test normals), ``found`` (share of the
        anomalies), ``loss`` (first and last, by trained branch), seconds and files.
    """
    from rich.console import Console

    console = console or Console(highlight=False)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    summary = {case.name: _run_case(case, folder, seed, console) for case in (digits(), breast_cancer(), manual())}
    writing.write_json(summary, folder / "summary.json")
    console.print(f"All figures are in {folder / 'summary.json'}. Next, for example:")
    console.print(
        f"  unalike evaluate {folder / 'breast-cancer-test.csv'} -m {folder / 'breast-cancer.unalike'} "
        "--labels malignant",
        soft_wrap=True,
    )
    return summary


def digits() -> Case:
    """1,797 handwritten digits, ``(n, 8, 8)`` float32 in [0, 1]; odd ones are anomalies."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = (loaded.images / 16.0).astype(np.float32)
    return Case("digits", "Digits: even ones normal, odd ones anomalies", "image", images, loaded.target % 2, "odd")


def breast_cancer() -> Case:
    """569 tumours with 30 measurements; malignant ones are anomalies."""
    import pyarrow as pa
    from sklearn.datasets import load_breast_cancer

    loaded = load_breast_cancer()
    table = pa.table({str(name): column for name, column in zip(loaded.feature_names, loaded.data.T, strict=True)})
    title = "Breast cancer: benign normal, malignant anomalies"
    return Case("breast-cancer", title, "table", table, 1 - loaded.target, "malignant")


def manual() -> Case:
    """Paragraphs: some 700 of Python's reference manual, and 50 on scikit-learn's data sets, the anomalies."""
    from importlib import resources
    from pydoc_data.topics import topics

    files = [file for file in resources.files("sklearn.datasets.descr").iterdir() if file.name.endswith(".rst")]
    told = [file.read_text(encoding="utf-8") for file in sorted(files, key=lambda file: file.name)]
    normal, foreign = (paragraphs(found) for found in ([topics[name] for name in sorted(topics)], told))
    title = "Texts: Python's reference manual normal, descriptions of data sets anomalies"
    labels = np.repeat(np.array([0, 1], dtype=np.int64), [len(normal), len(foreign)])
    return Case("manual", title, "text", [*normal, *foreign], labels, "foreign")


def paragraphs(documents: Iterable[str]) -> list[str]:
    """Their different paragraphs of 80 to 600 characters, in one line each, without code and lists."""
    blocks = [block for text in documents for block in text.split("\n\n") if not block.lstrip("\n").startswith(_MARKUP)]
    lines = [" ".join(block.split()) for block in blocks]
    # Grammars are no prose.
    return list(dict.fromkeys(x for x in lines if _SHORTEST <= len(x) <= _LONGEST and "::=" not in x))


def parted(labels: IntArray, seed: int) -> Parted:
    """Half of the normal samples train, a quarter and all anomalies test, a quarter is left for calibration."""
    normal = numpy_generator(seed, "demo").permutation(np.flatnonzero(labels == 0))
    train, test, calibration = np.split(normal, [len(normal) // 2, len(normal) * 3 // 4])
    test = np.concatenate([test, np.flatnonzero(labels == 1)])
    return Parted(np.sort(train), np.sort(test), np.sort(calibration))


def auroc_by_scorer(
    detector: Detector, train: Collection, test: Collection, labels: IntArray
) -> dict[str, dict[str, float]]:
    """AUROC of each scorer on the first trained branch's embedding, the untrained one and the raw input.

    Of texts the embedding of their words stands for the raw input.

    Parameters
    ----------
    detector : Detector
        Fitted on `train`.
    train, test : collection
        Scorers are fitted on what the branch's own one knows of `train`: what trained the network and what calibrated.
    labels : ndarray
        ``(n,)`` of `test`, 1 for an anomaly.

    Returns
    -------
    dict
        Embedding to scorer to AUROC.
    """
    branch = next(branch for branch in detector.branches_ if branch.untrained is not None)
    judges = {f"trained ({branch.settings.name})": branch.judge, "untrained": branch.untrained}
    if isinstance(detector.modality_, Text):
        judges[WORDS] = next(branch.judge for branch in detector.branches_ if branch.settings.name == "lexical")
    learned, judged = (_embeddings(detector, judges, X) for X in (take(train, detector.split_.positions()), test))
    own = branch.judge.scorer
    scorers: Mapping[str, Callable[[], Scorer]] = {
        "knn": lambda: replace(own) if isinstance(own, (KNN, LocalKNN)) else KNN(),
        "centroid": Centroid,
        "isolation forest": IsolationForest,
    }
    return {
        kind: {
            name: float(roc_auc_score(labels, make().fit(learned[kind]).score(judged[kind])))
            for name, make in scorers.items()
        }
        for kind in learned
    }


def _embeddings(detector: Detector, judges: Mapping[str, Judge | None], X: Collection) -> dict[str, FloatArray]:
    modality = detector.modality_
    parts, owner = modality.cut(modality.check(X))
    load = load_parts(modality, parts, keep=False)
    device = resolve_device(detector.device)
    embedded = {
        name: embed_parts(judge, load, len(owner), device) for name, judge in judges.items() if judge is not None
    }
    if not isinstance(modality, Text):  # the words of texts are an embedding of their own
        embedded[RAW] = modality.tensors(parts).flatten(1).double().numpy()
    return embedded


def _run_case(case: Case, folder: Path, seed: int, console: Console) -> dict[str, Any]:
    rows = parted(case.labels, seed)
    train, test, labels = take(case.X, rows.train), take(case.X, rows.test), case.labels[rows.test]
    console.print(f"\n{case.title}", style="bold")
    detector = Detector(
        case.modality,
        threshold=Conformal(false_alarm_rate=FALSE_ALARM_RATE),
        random_state=seed,
        progress=console.is_terminal,
    )
    started = time.perf_counter()
    detector.fit(train)
    fitted = time.perf_counter()
    decisions = detector.detect(test)
    judged = time.perf_counter()
    files = _write(case, folder, rows, detector, {**decisions.to_dict(), "id": rows.test, "label": labels})
    report = write_report(detector, test, folder / f"{case.name}.html", labels=labels, training=train, title=case.title)
    result = {
        "train": len(detector.split_.train),
        "held_out": len(detector.split_.calibration),
        "test_normal": int((labels == 0).sum()),
        "test_anomalies": int(labels.sum()),
        "auroc": auroc_by_scorer(detector, train, test, labels),
        "default_auroc": float(roc_auc_score(labels, decisions.scores)),
        "false_alarm_rate": decisions.false_alarm_rate,
        "realised_false_alarm_rate": float(decisions.is_anomaly[labels == 0].mean()),
        "found": float(decisions.is_anomaly[labels == 1].mean()),
        "loss": {name: [rows[1]["loss"], rows[-1]["loss"]] for name, rows in detector.history_.items()},
        "fit_seconds": fitted - started,
        "detect_seconds": judged - fitted,
        **files,
        "report": str(report),
    }
    _show(result, detector, console)
    return result


def _write(case: Case, folder: Path, rows: Parted, detector: Detector, columns: Mapping[str, Any]) -> dict[str, str]:
    model, decisions = folder / f"{case.name}.unalike", folder / f"{case.name}.csv"
    detector.progress = False
    save(detector, model)
    writing.write_rows(columns, decisions)
    _write_data(case, folder, rows)
    return {"model": str(model), "decisions": str(decisions)}


def _write_data(case: Case, folder: Path, rows: Parted) -> None:
    """Training, calibration and test samples as files that the command line reads."""
    for name, positions in (("train", rows.train), ("calibration", rows.calibration), ("test", rows.test)):
        path, samples, labels = folder / f"{case.name}-{name}", take(case.X, positions), case.labels[positions]
        told = {case.anomalous: labels} if name == "test" else {}
        if case.modality == "table":
            columns = dict(zip(samples.column_names, (column.to_numpy() for column in samples.columns), strict=True))
            writing.write_rows(columns | told, path.with_suffix(".csv"))
        elif case.modality == "text":
            writing.write_rows({"text": samples} | told, path.with_suffix(".csv"))
        else:
            writing.write_npz({"X": samples} | told, path.with_suffix(".npz"))


def _show(result: Mapping[str, Any], detector: Detector, console: Console) -> None:
    from rich.table import Table

    console.print(
        f"{result['train']} normal samples trained, {result['held_out']} set the threshold; tested on "
        f"{result['test_normal']} normal samples and {result['test_anomalies']} anomalies"
    )
    table = Table("AUROC of the embedding")
    for scorer in next(iter(result["auroc"].values())):
        table.add_column(scorer, justify="right")
    for embedding, by_scorer in result["auroc"].items():
        table.add_row(embedding, *[f"{value:.4f}" for value in by_scorer.values()])
    console.print(table)
    console.print(_verdict(result["auroc"]))
    names = [branch.settings.name for branch in detector.branches_]
    fused = " + ".join(name for name in names if detector.fusion_.weight(name) > 0)
    console.print(f"default, {fused} fused: AUROC {result['default_auroc']:.4f}")
    for name, (first, last) in result["loss"].items():
        console.print(f"loss of {name}: {first:.3f} in the first epoch, {last:.3f} in the last")
    console.print(
        f"false alarms on normal test samples: {result['realised_false_alarm_rate']:.1%} "
        f"(stated {result['false_alarm_rate']:.0%}); anomalies found: {result['found']:.1%}"
    )
    console.print(f"time: fit {result['fit_seconds']:.1f} s, detect {result['detect_seconds']:.1f} s")
    console.print(f"model: {result['model']}, decisions: {result['decisions']}", soft_wrap=True)
    console.print(f"report, to be opened in a browser: {result['report']}", soft_wrap=True)


def _verdict(auroc: Mapping[str, Mapping[str, float]]) -> str:
    (trained, ours), *floors = [(name, by_scorer["knn"]) for name, by_scorer in auroc.items()]
    floor, theirs = max(floors, key=lambda named: named[1])
    how = "above" if ours > theirs else "NOT above"
    return f"knn on {trained}: {ours:.4f} is {how} its floor, {theirs:.4f} on {floor}"
