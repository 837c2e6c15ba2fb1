import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import unalike
from unalike import Branch, Detector, encoders, errors, modalities, scorers, thresholds
from unalike.encoders.raw import NormalScores
from unalike.encoders.spectrum import Spectrum
from unalike.exporting import writing
from unalike.exporting.deciding import Decided, Fused, Tails
from unalike.exporting.inputs import ImageInput, input_of, resized
from unalike.exporting.proving import Expected, compare
from unalike.exporting.scoring import scoring_module
from unalike.exporting.settling import RanksFound, Waves, normal_quantile
from unalike.exporting.tables import Filled
from unalike.modalities.donors import Donors
from unalike.scorers.fusion import Fusion
from unalike.tails import tail_scores

RATE = thresholds.Conformal(false_alarm_rate=0.1)


def digit_like(n, seed, size=8, channels=1):
    """Blobs in one place, with noise."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:size, :size] / size
    place = 0.5 + 0.1 * rng.normal(size=(n, 2, 1, 1))
    blob = np.exp(-20 * ((down - place[:, 0]) ** 2 + (right - place[:, 1]) ** 2))
    noisy = blob[..., None] + 0.05 * rng.normal(size=(n, size, size, channels))
    return (255 * np.clip(noisy, 0, 1)).astype(np.uint8)


def run(path, samples, name="images"):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: samples}), strict=True))


@pytest.fixture(scope="module")
def fitted():
    small = encoders.Mirrored(encoder=encoders.ConvNet(channels=(8,), width=8), mirror=True)
    branches = [
        Branch(name="conv", encoder=small, scorer=scorers.KNN(metric="cosine"), skip=encoders.Raw()),
        Branch(name="mixture", encoder=encoders.Raw(), scorer=scorers.GaussianMixture(n_components=2)),
        Branch(name="density", encoder=encoders.Raw(), scorer=scorers.KernelDensity()),
    ]
    return Detector("image", branches=branches, threshold=RATE).fit(digit_like(80, 0))


@pytest.fixture(scope="module")
def exported(fitted, tmp_path_factory):
    return unalike.export(fitted, tmp_path_factory.mktemp("onnx") / "m.onnx", examples=digit_like(8, 1))


def test_the_file_scores_and_decides_as_the_detector(fitted, exported):
    X = np.concatenate([digit_like(20, 2), digit_like(20, 3)[:, ::-1] // 2, 255 - digit_like(20, 4)])
    found, decisions = run(exported, X), fitted.detect(X)
    np.testing.assert_allclose(found["scores"], decisions.scores, rtol=1e-4)
    np.testing.assert_allclose(found["p_values"], decisions.p_values)
    assert (found["is_anomaly"] == decisions.is_anomaly).all()
    assert 0 < found["is_anomaly"].sum() < len(X)
    alone = np.concatenate([run(exported, X[at : at + 1])["scores"] for at in (0, 7, 59)])
    np.testing.assert_allclose(alone, decisions.scores[[0, 7, 59]], rtol=1e-4)


def test_the_metadata_say_what_is_in_force(fitted, exported):
    entries = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert entries["unalike_format"] == "2"
    assert entries["branches"] == '["conv", "mixture", "density"]'
    assert float(entries["threshold"]) == fitted.threshold_.threshold_
    assert float(entries["false_alarm_rate"]) == 0.1
    assert entries["shape"] == "[1, 8, 8]"


def test_the_file_needs_neither_torch_nor_unalike(fitted, exported, tmp_path):
    X = digit_like(30, 5)
    np.save(tmp_path / "x.npy", X)
    script = (
        "import sys, numpy, onnxruntime\n"
        f"session = onnxruntime.InferenceSession({str(exported)!r})\n"
        f"X = numpy.load({str(tmp_path / 'x.npy')!r})\n"
        "assert not {'torch', 'unalike'} & set(sys.modules)\n"
        "print(''.join(str(int(a)) for a in session.run(['is_anomaly'], {'images': X})[0]))\n"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert printed.strip() == "".join(str(int(flag)) for flag in fitted.detect(X).is_anomaly)


def test_the_detector_is_not_changed(fitted, exported):
    assert all(not parameter.requires_grad for parameter in fitted.branches_[0].judge.encoder.parameters())
    again = Detector("image", branches=fitted.branches, threshold=RATE).fit(digit_like(80, 0))
    X = digit_like(5, 6)
    np.testing.assert_array_equal(again.anomaly_scores(X), fitted.anomaly_scores(X))


def test_other_scores_leave_no_file_and_an_old_one_stays(fitted, exported, tmp_path, monkeypatch):
    tampered = onnx.load(exported)
    for tensor in tampered.graph.initializer:
        if tensor.name.endswith("centre") or tensor.name.endswith("means"):
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * 1.01, tensor.name))
    monkeypatch.setattr(writing, "_traced", lambda graph, source: tampered)
    with pytest.raises(errors.CannotExport, match="must give the detector's scores"):
        unalike.export(fitted, tmp_path / "new.onnx")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.onnx").write_bytes(b"old")
    with pytest.raises(errors.CannotExport):
        unalike.export(fitted, tmp_path / "old.onnx")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old.onnx", b"old")]


def test_decisions_and_p_values_are_held_to_the_scores(fitted):
    X = digit_like(30, 8)
    decisions = fitted.detect(X)
    margin = np.full(30, 1e-4)
    expected = Expected(decisions.scores, decisions.scores - margin, decisions.scores + margin)
    right = {name: np.array(getattr(decisions, name)) for name in ("scores", "p_values", "is_anomaly")}
    compare(fitted.threshold_, expected, right)
    for name, changed in (("is_anomaly", ~right["is_anomaly"]), ("p_values", right["p_values"] + 0.2)):
        with pytest.raises(errors.CannotExport, match="decide as the detector"):
            compare(fitted.threshold_, expected, {**right, name: changed})
    nothing = {**right, "scores": np.full(30, np.nan)}
    with pytest.raises(errors.CannotExport, match="30 of 30 differ"):
        compare(fitted.threshold_, expected, nothing)


def test_a_network_of_timm_and_both_resizes_are_in_the_graph(tmp_path):
    encoder = encoders.Timm(name="test_efficientnet", size=32, layers=(1, 2))
    whole = encoders.Mirrored(encoder=encoder, mirror=False, rescale=True)
    branches = [
        Branch(name="whole", encoder=whole, scorer=scorers.LocalKNN(k=2)),
        Branch(name="places", encoder=encoder, scorer=scorers.PatchBank(size=50)),
    ]
    detector = Detector("image", branches=branches, threshold=RATE).fit(digit_like(60, 0, size=20, channels=3))
    path = unalike.export(detector, tmp_path / "m.onnx", resize=True, pixels="float32")
    for size in ((20, 20), (31, 17), (64, 50)):
        X = np.random.default_rng(0).random((3, *size, 3), dtype=np.float32)
        np.testing.assert_allclose(run(path, X)["scores"], detector.anomaly_scores(X), rtol=1e-4)


def test_rows_of_a_table(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4)) * [1, 10, 100, 1000]
    branch = Branch(name="raw", encoder=encoders.RawTable(scaling="signed-log"), scorer="mahalanobis")
    detector = Detector("table", branches=[branch], threshold=thresholds.MAD()).fit(X)
    path = unalike.export(detector, tmp_path / "t.onnx")
    new = 3 * rng.normal(size=(50, 4)) * [1, 10, 100, 1000]
    new[:5, 1] = new[3:5, 2] = new[4] = np.nan
    found, decisions = run(path, new, "rows"), detector.detect(new)
    np.testing.assert_allclose(found["scores"], decisions.scores, rtol=1e-9)
    assert (found["is_anomaly"] == decisions.is_anomaly).all()
    assert "p_values" not in found


class Refusing(nn.Module):
    width = 1

    def forward(self, data):
        return data.flatten(1)[:, :1] if float(data.sum()) > 0 else data.flatten(1)[:, 1:2]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scorer": "isolation-forest"}, "KNN.*branch 'main' has IsolationForest"),
        ({"threshold": "per-entity"}, "judges by entity"),
        ({"encoder": Refusing()}, "encoders that torch can write"),
    ],
)
@pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")
def test_what_no_graph_can_hold_is_named(change, match, tmp_path):
    settings = {"encoder": encoders.Raw(), "objective": "frozen", "scorer": "knn", "threshold": RATE, **change}
    detector = Detector("image", **settings).fit(digit_like(50, 0))
    with pytest.raises(errors.CannotExport, match=match):
        unalike.export(detector, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_door(fitted, tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(errors.InvalidParameter, match=r"end in \.onnx"):
        unalike.export(fitted, tmp_path / "m.unalike")
    with pytest.raises(errors.InvalidParameter, match="existing folder"):
        unalike.export(fitted, tmp_path / "none" / "m.onnx")
    with pytest.raises(errors.InvalidParameter, match="`pixels`"):
        unalike.export(fitted, path, pixels="int8")
    with pytest.raises(errors.InvalidParameter, match="`layout`"):
        unalike.export(fitted, path, layout="last")
    with pytest.raises(errors.NotFitted):
        unalike.export(Detector("image"), path)
    loose = Detector("image", encoder=encoders.Raw(), objective="frozen", calibration_fraction=0.0)
    with pytest.raises(errors.NotCalibrated):
        unalike.export(loose.fit(digit_like(20, 0)), path)
    assert not path.exists()


def test_kinds_of_data_that_no_graph_takes_are_named():
    tiled = modalities.Image(tile=8).fit(modalities.Image().check(digit_like(5, 0)))
    for modality, match in ((tiled, "tile=8"), (modalities.Text(), "modality 'text'")):
        with pytest.raises(errors.CannotExport, match=match):
            input_of(modality, ImageInput())


SCORERS = [
    scorers.KNN(),
    scorers.KNN(k=3, distance="mean", metric="cosine"),
    scorers.KNN(k=0.2, most_rows=40),
    scorers.KNN(k=500),
    scorers.LocalKNN(k=4),
    scorers.LocalKNN(k=3, power=1.0, metric="cosine"),
    scorers.Centroid(),
    scorers.Centroid("cosine"),
    scorers.Mahalanobis(),
    scorers.GaussianMixture(n_components=3, covariance="full"),
    scorers.GaussianMixture(n_components=3, covariance="tied"),
    scorers.GaussianMixture(n_components=2, covariance="diag"),
    scorers.KernelDensity(),
    scorers.NeighborRatio(k=2),
    scorers.NeighborRatio(log=False),
    scorers.PerBlock(scorers.KNN(k=2), blocks=3),
    scorers.PerBlock("centroid", blocks=3, combine="top", share=0.6),
    scorers.PerBlock("centroid", blocks=3, combine="max"),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_modules_score_as_their_scorers(scorer, dtype):
    rng = np.random.default_rng(0)
    rows = (5 + rng.normal(size=(60, 6)) * [1, 2, 3, 1, 2, 3]).astype(dtype)
    labelled = {"anomalies": rows[:3] + 7} if isinstance(scorer, scorers.NeighborRatio) else {}
    scorer.fit(rows, **labelled)
    new = np.concatenate([rows[:5], rows[:20] + rng.normal(size=(20, 6)), 1e4 * rows[:2], 0 * rows[:1]]).astype(dtype)
    if isinstance(scorer, scorers.LocalKNN):
        new = new[:-1]  # a zero vector is equally near to all rows: which of them count is open
    found = scoring_module(scorer, "a branch")(torch.from_numpy(new)).numpy()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, scorer.score(new), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_patches_score_as_their_bank(metric):
    rng = np.random.default_rng(0)
    rows = (5 + rng.normal(size=(30, 9, 6)) * [1, 2, 3, 1, 2, 3]).astype(np.float32)
    scorer = scorers.PatchBank(size=100, top=3, metric=metric).fit(rows)
    new = np.concatenate([rows[:3], rows[:5] + rng.normal(size=(5, 9, 6)).astype(np.float32)])
    found = scoring_module(scorer, "a branch")(torch.from_numpy(new)).numpy()
    np.testing.assert_allclose(found, scorer.score(new), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scorer", [scorers.PlaceGaussians(top=3), scorers.PlaceFusion(top=3, weight=0.7)])
def test_places_score_as_by_their_gaussians(scorer):
    rng = np.random.default_rng(0)
    rows = (5 + rng.normal(size=(30, 9, 6)) * [1, 2, 3, 1, 2, 3] + np.arange(9)[:, None]).astype(np.float32)
    scorer.fit(rows)
    new = rows[:8] + rng.normal(size=(8, 9, 6)).astype(np.float32)
    found = scoring_module(scorer, "a branch")(torch.from_numpy(new)).numpy()
    np.testing.assert_allclose(found, scorer.score(new), rtol=1e-5)


@pytest.mark.parametrize("reference", [[1.0], [2.0, 2.0], [0.0, 1.0, 1.0, 3.0, 3.0, 7.0]])
def test_tails_between_on_and_beyond_the_reference_scores(reference):
    scores = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 5.0, 7.0, 7.1, 100.0])
    found = Tails(np.array(reference))(torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(found, tail_scores(scores, np.array(reference)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("how", ["sum", "max", "ratio"])
def test_fusion_of_three_branches(how):
    rng = np.random.default_rng(0)
    fusion = Fusion(how=how, weights={"a": 0.5, "c": 2.0}).fit({name: rng.gamma(2.0, size=50) for name in "abc"})
    scores = {name: rng.gamma(3.0, size=40) for name in "abc"}
    found = Fused(fusion, list("abc"))([torch.from_numpy(scores[name]) for name in "abc"]).numpy()
    np.testing.assert_allclose(found, fusion.score(scores), rtol=1e-12)


@pytest.mark.parametrize("threshold", [RATE, thresholds.Quantile(0.1), thresholds.Fixed(1.5), thresholds.Gamma(0.1)])
def test_thresholds_at_and_between_the_calibration_scores(threshold):
    calibration = np.random.default_rng(0).gamma(2.0, size=30)
    threshold.fit(calibration)
    scores = np.concatenate([calibration, calibration + 1e-9, [threshold.threshold_, 0.0, 99.0]])
    module = Decided(threshold)
    found = dict(zip(module.outputs, module(torch.from_numpy(scores)), strict=True))
    assert (found["is_anomaly"].numpy() == threshold.is_anomaly(scores)).all()
    assert ("p_values" in found) == (threshold.__class__ in (thresholds.Conformal, thresholds.Quantile))
    if "p_values" in found:
        np.testing.assert_array_equal(found["p_values"].numpy(), threshold.p_values(scores))


@pytest.mark.parametrize("before", [(5, 7), (8, 8), (33, 64), (100, 9)])
def test_resizing_is_that_of_torch(before):
    images = torch.from_numpy(np.random.default_rng(0).random((2, 3, *before), dtype=np.float32))
    for size in ((8, 8), (16, 5), (40, 41)):
        wanted = nn.functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        torch.testing.assert_close(resized(images, size), wanted, rtol=1e-5, atol=1e-6)


def test_ranks_and_their_normal_scores_are_those_of_the_encoder():
    shares = torch.cat([torch.linspace(1e-6, 1 - 1e-6, 10_001), torch.logspace(-12, -1, 200)]).to(torch.float64)
    torch.testing.assert_close(normal_quantile(shares), torch.special.ndtri(shares), rtol=1e-12, atol=1e-12)
    rng = np.random.default_rng(0)
    known = torch.from_numpy(np.stack([rng.normal(size=40), rng.integers(0, 4, 40), np.ones(40)], axis=1))
    ranks = NormalScores(3)
    ranks.fit(known, torch.zeros(40, 3, dtype=torch.bool))
    new = torch.cat([known, known + 0.1, 3.0 * known - 2.0])
    torch.testing.assert_close(RanksFound(ranks)(new), ranks(new), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 15, 16])
def test_spectra_by_a_product_are_those_of_the_transform(length):
    windows = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 2, length)).astype(np.float32))
    windows[0, 1, length // 2 :] = torch.nan
    spectrum = Spectrum(2, length)
    torch.testing.assert_close(Waves(spectrum)(windows), spectrum(windows), rtol=1e-5, atol=1e-5)


def test_gaps_are_filled_from_the_donors_of_the_table():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.integers(0, 3, size=(300, 3)), rng.normal(size=(300, 2))], axis=1)
    missing = np.zeros((300, 5), dtype=bool)
    missing[::4, 4] = True  # often missing: never filled
    coded = [True, False, False, False, False]
    donors = Donors.among(np.where(missing, 0.0, values), missing)
    new, gaps = values[:80] + 0.0, rng.random((80, 5)) < 0.3
    new[gaps] = 0.0
    filled = Filled(donors, coded)(torch.from_numpy(new), torch.from_numpy(gaps))
    for found, wanted in zip(filled, donors.fill(new, gaps, coded), strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted)
    assert (filled[1].numpy() != gaps).any()
