"""The ablation of views: its defaults are the library's, and its tables say what the rows say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from benchmarks import views, viewtables
from benchmarks.summary import Row

from unalike import modalities
from unalike.views.image import standard_image_view


def test_default_views_are_those_of_the_library():
    assert views.image_views()["default"] == standard_image_view((1, 14, 14))
    assert views.table_views()["default"] == modalities.Table().fit(np.zeros((3, 2))).view()


def test_each_part_of_the_default_is_left_out_once_and_stands_alone_once():
    made = views.image_views()
    default = repr(made["default"])
    for part in ("crop", "turn", "shift", "noise"):
        assert repr(made[f"without {part}"]) != default != repr(made[f"only {part}"])
    assert len({repr(view) for view in made.values()}) == len(made)
    assert len(made["only crop"].views) == 1


def test_jobs_name_every_view_on_every_set_once():
    jobs = views.jobs(Path("somewhere"), ["6_cardio"], Path("fashion.npz"), draws=2)
    keys = [job.key(method) for job in jobs for method in job.methods]
    assert len(set(keys)) == len(keys)
    per_image = len(views.image_views()) + 2
    per_table = len(views.table_views()) + 3
    images = len(views.FASHION) + len(views.DIGITS)
    assert len(keys) == 2 * (images * per_image + per_table)


def test_a_job_gives_every_column(monkeypatch):
    monkeypatch.setattr(views, "_STEPS", 2)
    (job,) = [job for job in views.jobs(None, [], None, 1) if job.methods[0] == "default" and job.data == "digits/2"]
    found = job.task()
    assert list(found) == ["default", "untrained", "raw"]
    assert {*views.EXTRA, "auroc", "fit_s"} <= set(found["raw"])
    assert found["default"]["moved"] > 0.0
    assert math.isnan(found["raw"]["moved"])
    assert len({values["auroc"] for values in found.values()}) == 3


def row(data, method, auroc, **figures):
    known = {"unchanged": 0.0, "moved": 1.0, "inside": 0.3, "beyond_95": 0.1, "beyond_99": 0.1, "pairs_found": 0.9}
    figures = {**known, **figures} if figures else {}
    return Row(data=data, protocol="tables", seed=0, method=method, values={"auroc": auroc, **figures})


def test_tables_of_made_up_rows():
    rows = []
    for data, base in (("a", 0.5), ("b", 0.6)):
        rows += [row(data, "default", base + 0.1, moved=1.0), row(data, "untrained", base)]
        rows += [row(data, "weak", base - 0.1, moved=0.1), row(data, "strong", base + 0.3, moved=2.0, beyond_95=0.9)]
    ablation = {line[0]: line for line in viewtables.ablation(rows)}
    assert ablation["strong"][1:5] == ["0.850", "+20.0", "[+20.0, +20.0]", "2 of 2"]
    assert ablation["strong"][-1] == "2 too strong"
    assert ablation["untrained"][-1] == ""
    foretold = {line[0]: line for line in viewtables.foretold(rows)}
    assert foretold["moved"][1] == foretold["moved"][3] == "+1.00"
    verdicts = {line[0]: line[1:] for line in viewtables.by_verdict(rows)}
    assert verdicts["too strong"] == ["2", "+30.0", "1.00"]
    assert verdicts["too weak"] == ["2", "-10.0", "0.00"]
    assert verdicts["fine"] == ["2", "+10.0", "1.00"]
    assert "tables: 2 data sets" in viewtables.report(rows)


def test_a_figure_that_is_the_same_for_all_views_foretells_nothing():
    rows = [row("a", name, value, moved=1.0) for name, value in (("x", 0.5), ("y", 0.6), ("z", 0.7))]
    assert viewtables.foretold([*rows, row("a", "default", 0.5, moved=1.0)])[1][1:] == ["", "", ""]
