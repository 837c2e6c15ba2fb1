from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import torch

EXAMPLE = Path(__file__).parents[1] / "examples" / "images_from_scratch.py"


def test_the_example_learns_from_training_images_only(capsys):
    example = runpy.run_path(str(EXAMPLE))
    detector = example["main"](epochs=6, n=200)
    loss = [row["loss"] for row in detector.history_["main"][1:]]
    assert np.mean(loss[-3:]) < loss[0] - 0.05
    pairs = len(detector.split_.train) // 2
    assert np.mean(loss[-3:]) < np.log(2 * pairs - 1)  # below what an embedding that tells nothing apart pays

    branch = detector.branches_[0]
    before, after = branch.untrained.encoder.state_dict(), branch.judge.encoder.state_dict()
    weights = [name for name, _ in branch.judge.encoder.named_parameters()]
    assert all(not torch.equal(before[name], after[name]) for name in weights)

    labels = example["images"](200)[1]
    assert np.concatenate([detector.split_.train, detector.split_.calibration]).max() < 140 < np.argmax(labels)
    printed = capsys.readouterr().out
    assert "AUROC of main: 1.000" in printed
    assert "AUROC of main (untrained): 1.000" in printed


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 60
