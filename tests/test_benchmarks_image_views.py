"""benchmarks/image_views.py: every method sees all images and changes them; the file is what was measured."""

from __future__ import annotations

import csv

import pytest
import torch
from benchmarks import image_views

pytest.importorskip("torchvision")


@pytest.mark.parametrize("blur", [False, True])
def test_all_methods_change_each_image_in_its_own_way(blur):
    data = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).repeat(6, 1, 1, 1)
    methods = {"unalike": image_views.ours(data, blur), **image_views.theirs(data, blur)}
    assert len(methods) == 4
    for once in methods.values():
        made = once(0)
        assert made.shape == data.shape
        assert made.dtype == torch.float32
        assert len(torch.unique(made.flatten(1), dim=0)) == 6
        assert not torch.equal(made, once(1))


def test_the_file_has_a_line_per_method_and_view(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(image_views, "BATCHES", {32: 2, 64: 2})
    out = tmp_path / "views.csv"
    assert image_views.main(["--sizes", "32,64", "--rounds", "1", "--out", str(out)]) == 0
    lines = list(csv.DictReader(out.read_text().splitlines()))
    assert [(line["size"], line["view"]) for line in lines[::4]] == [
        ("32", "crop-colour"),
        ("64", "crop-colour"),
        ("64", "crop-colour-blur"),
    ]
    assert all(float(line["times_ours"]) == 1.0 for line in lines if line["method"] == "unalike")
    assert all(float(line["ms_per_image"]) > 0 for line in lines)
    assert image_views.main(["--show", "--out", str(out)]) == 0
    assert "| torchvision-pil |" in capsys.readouterr().out
