"""A small CNN trained from scratch by InfoNCE on synthetic images, with an isolation forest on its embeddings.

The data are so easy that the untrained network, too, scores an AUROC of 1.0: that number proves nothing here.
What the run can show is that the loss falls and the weights move; see `unalike demo` for real data.
"""

from __future__ import annotations

import argparse

import numpy as np

from unalike import Detector, Training, encoders, evaluate, objectives, scorers, thresholds


def images(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """32x32 pixels in RGB: noise with a faint disc of any colour and place; the last tenth are bright noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:1:32j, 0:1:32j]
    row, column, size = generator.uniform(0.25, 0.75, (3, n, 1, 1))
    disc = np.hypot(y - row, x - column) < 0.4 * size  # (n, 32, 32)
    colour = generator.uniform(-0.25, 0.25, (n, 1, 1, 3))
    pixels = generator.normal(0.5, 0.1, (n, 32, 32, 3)) + disc[..., None] * colour
    is_anomaly = np.arange(n) >= n - n // 10
    pixels[is_anomaly] = generator.normal(1.0, 0.1, pixels[is_anomaly].shape)
    return pixels.clip(0, 1).astype(np.float32), is_anomaly


def main(epochs: int = 50, n: int = 2000) -> Detector:
    pixels, labels = images(n)
    train = n * 7 // 10
    detector = Detector(
        "image",
        encoder=encoders.ConvNet(channels=(32, 64, 128), width=128),
        objective=objectives.SimCLR(temperature=0.07, head_layers=2),
        scorer=scorers.IsolationForest(),
        training=Training(epochs=epochs, batch_size=64, optimizer="adam", learning_rate=1e-3),
        threshold=thresholds.Conformal(false_alarm_rate=0.05),
    )
    # Network, forest and threshold see these normal images and no others; nothing is scored in a random view.
    detector.fit(pixels[:train])
    for row in detector.history_["main"][1:]:
        print(f"epoch {row['epoch']:3.0f}  loss {row['loss']:.4f}")
    for name, scores in detector.branch_scores(pixels[train:]).items():
        print(f"AUROC of {name}: {evaluate(scores, labels[train:]).auroc}")
    decisions = detector.detect(pixels[train:])
    normal = ~labels[train:]
    print(f"false alarms on unseen normal images: {decisions.is_anomaly[normal].mean():.1%} (stated 5%)")
    return detector


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    main(parser.parse_args().epochs)
