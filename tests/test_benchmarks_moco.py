"""benchmarks/moco.py: the right pictures, the same number of samples, a table that is right."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import moco
from benchmarks.results import COLUMNS, Key, Results


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.integers(0, 100, size=(60, 28, 28)).astype(np.uint8)
    images[np.arange(60), 0, 0] = 100 + labels
    path = tmp_path / "pictures.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    return path


def test_pictures_are_halved_by_the_mean_of_four_pixels():
    images = np.random.default_rng(0).integers(0, 256, size=(2, 28, 28)).astype(np.uint8)
    small = moco.halved(images)
    assert (small.shape, small.dtype) == ((2, 14, 14), np.float32)
    assert small[1, 3, 5] == pytest.approx(images[1, 6:8, 10:12].mean() / 255, abs=1e-6)


def test_only_the_normal_class_trains_and_all_test_images_test(pictures):
    with np.load(pictures) as file:
        images = file["x_train"]
    train, test, labels = moco.load(pictures, 1, seed=0)
    own = {picture.tobytes() for picture in moco.halved(images[np.arange(60) % 3 == 1])}
    assert {picture.tobytes() for picture in train} == own
    assert (len(test), labels.tolist()) == (30, [int(label != 1) for label in np.arange(30) % 3])
    again = moco.load(pictures, 1, seed=1)[0]
    assert not np.array_equal(train, again)


def test_all_methods_see_the_same_number_of_samples_under_one_temperature():
    chosen = [moco.settings(method) for method in moco.METHODS[2:]]
    assert {training.epochs for _, training in chosen} == {moco.EPOCHS}
    assert len({objective.temperature for objective, _ in chosen}) == 1
    assert [training.batch_size for _, training in chosen] == [moco.LARGE, moco.SMALL, moco.SMALL]


def test_table_compares_with_the_large_batch(tmp_path):
    path = tmp_path / "results.csv"
    with Results(path, moco.EXTRA) as results:
        for name, auroc in (("simclr-large", 0.90), ("moco-small", 0.895), ("pixels", 0.80)):
            for data in ("fashion-mnist/0", "fashion-mnist/4"):
                values = dict.fromkeys((*COLUMNS[4:], *moco.EXTRA), 10.0)
                values["auroc"] = auroc + (0.01 if data.endswith("4") else 0.0)
                results.append(Key(data, moco.PROTOCOL, 0, name), values)
    header, *lines = moco.table(moco.read(path))
    assert header[2:4] == ["fashion-mnist/0", "fashion-mnist/4"]
    assert [(line[0], line[2], line[5]) for line in lines] == [
        ("pixels", "0.8000", "-10.00"),
        ("simclr-large", "0.9000", "+0.00"),
        ("moco-small", "0.8950", "-0.50"),
    ]


def test_every_row_is_made_by_one_job(pictures):
    keys = [job.key(method) for job in moco.jobs(pictures, (0, 4), (0, 1)) for method in job.methods]
    assert len(keys) == len(set(keys)) == 2 * 2 * len(moco.METHODS)
