"""What the command line has for images: files that cannot be read, tables of paths, groups from file names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow
from tests.cli.parts import STEPS, read_rows, run

from unalike import load
from unalike.modalities import Image

pytestmark = pytest.mark.filterwarnings("always::unalike.errors.InputWarning")  # they are told, not raised
FEW = ["--encoder", "convnet", "--false-alarm-rate", "0.2", "--steps", "2"]


@pytest.fixture
def folder(tmp_path):
    """Thirty tiles, two photos of each; 04 is cut short."""
    made = tmp_path / "tiles"
    made.mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = rng.integers(90, 110, (8, 8)).astype(np.uint8)
        Pillow.fromarray(pixels).save(made / f"tile{number // 2:02d}_{number % 2}.png")
    return made


@pytest.fixture
def broken(folder):
    path = folder / "tile02_0.png"
    path.write_bytes(path.read_bytes()[:60])
    return path


def groups_apart(model, n):
    """Whether the two photos of every tile are on one side of the split."""
    split = load(model).split_
    held = np.isin(np.arange(n), split.calibration)
    return (held[::2] == held[1::2]).all()


def test_a_file_that_cannot_be_read_stops_a_fit_unless_it_is_skipped(folder, broken, tmp_path, capsys):
    model = tmp_path / "a.unalike"
    assert run("fit", folder, "-m", "image", "-o", model, *FEW) == 2
    assert f"'{broken}' must be a readable image" in capsys.readouterr().err
    assert not model.exists()
    assert run("fit", folder, "-m", "image", "-o", model, *FEW, "--on-error", "skip", "--workers", "2") == 0
    told = capsys.readouterr()
    assert "warning: 1 of 30 images cannot be used and are left out." in told.err
    assert "1 images could not be read and are left out:" in told.out
    assert str(broken) in told.out
    assert (load(model).modality.on_error, load(model).modality.workers) == ("skip", 2)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_detect_has_a_row_for_every_file(folder, tmp_path, capsys, suffix):
    model, written = tmp_path / "a.unalike", tmp_path / f"found{suffix}"
    assert run("fit", folder, "-m", "image", "-o", model, *FEW, "-q") == 0
    assert run("detect", folder, "-m", model, "-o", written) == 0
    whole = read_rows(written)
    assert "error" not in whole[0]
    path = folder / "tile02_0.png"
    path.write_bytes(path.read_bytes()[:60])
    assert run("detect", folder, "-m", model, "-o", written) == 2
    assert run("detect", folder, "-m", model, "-o", written, "--on-error", "skip") == 0
    assert f"  {path}: '{path}' must be" in capsys.readouterr().out
    rows = read_rows(written)
    assert [row["id"] for row in rows] == [row["id"] for row in whole]
    assert [row["id"] for row in rows if row["score"] is None] == [str(path)]
    bad = rows.pop(4)
    assert (bad["is_anomaly"], bad["p_value"]) == (None, None)
    assert "must be a readable image" in bad["error"]
    kept = [{key: value for key, value in row.items() if key != "error"} for row in rows]
    assert kept == whole[:4] + whole[5:]


def test_groups_come_from_names_tables_or_pictures(folder, tmp_path, capsys):
    model, table = tmp_path / "a.unalike", tmp_path / "tiles.csv"
    fit = ["fit", folder, "-m", "image", "-o", model, *FEW, "-q", "--seed", "1"]
    assert run(*fit) == 0
    assert not groups_apart(model, 30)
    assert run(*fit, "--groups", r"(tile\d+)_") == 0
    assert groups_apart(model, 30)
    names = sorted(path.name for path in folder.iterdir())
    frame = pd.DataFrame({"path": [f"tiles/{name}" for name in names], "tile": [name[:6] for name in names]})
    frame.to_csv(table, index=False)
    assert run("fit", table, *fit[2:], "--groups", "tile") == 0
    assert groups_apart(model, 30)
    assert run("fit", table, *fit[2:], "--groups", r"(tile\d+)_") == 0
    assert groups_apart(model, 30)
    assert run(*fit, "--groups", "near-copies") == 0
    assert run(*fit, "--groups", r"(\d+)_0") == 2
    assert "must match every path" in capsys.readouterr().err
    assert run(*fit, "--groups", "(?:tile)()(") == 2
    assert "must be a regular expression" in capsys.readouterr().err


def test_evaluate_keeps_labels_with_their_images(folder, broken, tmp_path):
    model, table = tmp_path / "a.unalike", tmp_path / "tiles.csv"
    assert run("fit", folder, "-m", "image", "-o", model, *FEW, "-q", "--on-error", "skip") == 0
    names = sorted(path.name for path in folder.iterdir())
    frame = pd.DataFrame(
        {"path": [f"tiles/{name}" for name in names], "bad": [int(name >= "tile10") for name in names]}
    )
    frame.to_csv(table, index=False)
    assert run("evaluate", table, "-m", model, "--labels", "bad", "-o", tmp_path / "all.json") == 0
    frame[frame.path != f"tiles/{broken.name}"].to_csv(table, index=False)
    assert run("evaluate", table, "-m", model, "--labels", "bad", "-o", tmp_path / "good.json") == 0
    assert (tmp_path / "all.json").read_text() == (tmp_path / "good.json").read_text()


def test_options_of_images_are_refused_elsewhere(tmp_path, capsys):
    pd.DataFrame({"a": range(80)}).to_csv(tmp_path / "a.csv", index=False)
    fit = ["fit", tmp_path / "a.csv", "-m", "table", "-o", tmp_path / "a.unalike", *STEPS]
    assert run(*fit, "--on-error", "skip") == 2
    assert "`--on-error` must go with -m image" in capsys.readouterr().err
    assert run(*fit) == 0
    assert run("detect", tmp_path / "a.csv", "-m", tmp_path / "a.unalike", "--workers", "2") == 2
    assert "`--workers` must go with a model of images; got one of table" in capsys.readouterr().err


def test_a_pretrained_network_judges_where_weights_are_given(folder, tmp_path, capsys):
    timm = pytest.importorskip("timm")
    model, weights = tmp_path / "a.unalike", tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), weights)
    fit = ["fit", folder, "-m", "image", "-o", model, "--false-alarm-rate", "0.2", "-q", "--weights", weights]
    assert run(*fit, "--network", "test_resnet") == 0
    detector = load(model)
    assert (detector.modality.network, detector.modality.weights) == ("test_resnet", str(weights))
    assert [branch.settings.name for branch in detector.branches_] == ["features"]
    assert run(*fit, "--network", "resnet_of_no_kind") == 2
    assert "resnet_of_no_kind" in capsys.readouterr().err
    assert run(*fit[:-1], tmp_path / "none.pth") == 2
    assert "none.pth" in capsys.readouterr().err


def test_a_toml_file_says_how_images_are_read(folder, broken, tmp_path):
    config = tmp_path / "a.toml"
    config.write_text('[modality]\ntype = "Image"\non_error = "skip"\nworkers = 3\n')
    model = tmp_path / "a.unalike"
    assert run("fit", folder, "--config", config, "-o", model, *FEW, "-q") == 0
    assert load(model).modality == Image(on_error="skip", workers=3)


def test_explain_writes_heat_maps_of_the_anomalies(folder, tmp_path, capsys):
    model, maps, causes = tmp_path / "a.unalike", tmp_path / "maps", tmp_path / "causes.csv"
    assert run("fit", folder, "-m", "image", "-o", model, *FEW, "-q") == 0
    Pillow.fromarray(np.full((8, 8), 255, dtype=np.uint8)).save(folder / "white.png")
    told = run("explain", folder, "-m", model, "--only-anomalies", "--pictures", maps, "-o", causes, "-q")
    assert told == 0
    anomalies = load(model).detect(folder).ids[load(model).detect(folder).is_anomaly]
    assert len(list(maps.glob("*.png"))) == len(anomalies) == len({row["id"] for row in read_rows(causes)})
    (white,) = maps.glob("*-white.png")
    with Pillow.open(white) as opened:
        assert opened.size == (8, 8)
    table = tmp_path / "rows.csv"
    table.write_text("a,b\n" + "".join(f"{row},{row % 3}\n" for row in range(60)))
    assert (
        run("fit", table, "-m", "table", "-o", tmp_path / "t.unalike", "--false-alarm-rate", "0.2", *STEPS, "-q") == 0
    )
    assert run("explain", table, "-m", tmp_path / "t.unalike", "--pictures", maps, "-q") == 2
    assert "must go with a model of images" in capsys.readouterr().err
