"""Files that are good, odd and bad, read in any number of threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import TensorDataset

from unalike import Branch, Detector, encoders, find_groups, scorers, thresholds
from unalike.data import skipped, take
from unalike.errors import InputWarning, InvalidInput, InvalidParameter
from unalike.modalities import Image
from unalike.modalities.imagefiles import Images, in_order
from unalike.modalities.pixels import glance, one_image

Pixels = np.ndarray[Any, Any]


def pixels(*shape: int, seed: int = 0, dtype: Any = np.uint8) -> Pixels:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


def save(path: Path, *shape: int, seed: int = 0, **options: Any) -> Path:
    Pillow.fromarray(pixels(*shape, seed=seed)).save(path, **options)
    return path


def folder(tmp_path: Path, n: int = 6) -> list[Path]:
    return [save(tmp_path / f"{number}.png", 9, 8, seed=number) for number in range(n)]


def truncated(path: Path, share: float = 0.7) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def read(X: Any, **settings: Any) -> Pixels:
    modality = Image(**settings)
    images = modality.check(X)
    numbers: Pixels = modality.fit(images).tensors(images).numpy()
    return numbers


class Pairs:
    """A map-style data set as torch's and torchvision's are."""

    def __init__(self, images: list[Any]) -> None:
        self.images = images
        self.threads: set[int] = set()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        self.threads.add(threading.get_ident())
        if isinstance(self.images[row], Exception):
            raise self.images[row]
        return self.images[row], 7


# Kinds of input


def test_a_data_set_gives_its_images_one_by_one_in_this_thread() -> None:
    stack = pixels(5, 6, 7)
    pairs = Pairs([Pillow.fromarray(image) for image in stack])
    np.testing.assert_array_equal(read(pairs, workers=4), read(stack))
    assert pairs.threads == {threading.get_ident()}


def test_torchs_own_data_sets_are_read() -> None:
    stack = torch.from_numpy(pixels(4, 3, 6, 5))
    np.testing.assert_array_equal(read(TensorDataset(stack, torch.zeros(4))), read(stack))


def test_an_item_that_fails_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"Item 1 of `X` must be an image; got an error: KeyError\('no'\)"):
        Image().check(Pairs([pixels(4, 4), KeyError("no")]))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_names_files_beside_it(tmp_path: Path, suffix: str) -> None:
    paths = folder(tmp_path)
    frame = pd.DataFrame({"kind": "a", "Path": [path.name for path in paths]})
    table = tmp_path / f"list{suffix}"
    frame.to_csv(table, index=False) if suffix == ".csv" else frame.to_parquet(table)
    expected = read(paths)
    np.testing.assert_array_equal(read(table), expected)
    np.testing.assert_array_equal(read(pd.DataFrame({"file": [str(path) for path in paths]})), expected)


def test_a_table_without_paths_says_what_is_missing() -> None:
    with pytest.raises(InvalidInput, match=r"a column named path or file or filename or image; got \['a'\]"):
        Image().check(pd.DataFrame({"a": [1]}))
    with pytest.raises(InvalidInput, match=r"'path' must hold a path in every row; got \['a.png', (nan|None)\]"):
        Image().check(pd.DataFrame({"path": ["a.png", None]}))


def test_npy_files_hold_images_and_a_whole_one_holds_many(tmp_path: Path) -> None:
    stack = pixels(4, 7, 9, 6)
    for number, image in enumerate(stack):
        np.save(tmp_path / f"{number}.npy", image)
    expected = read(stack, layout="channels-last")
    np.testing.assert_array_equal(read(tmp_path, layout="channels-last"), expected)
    np.save(tmp_path / "all.npy", stack)
    np.testing.assert_array_equal(read(tmp_path / "all.npy", layout="channels-last"), expected)
    np.save(tmp_path / "0.npy", np.zeros(3))
    with pytest.raises(InvalidInput, match=r"0\.npy' must be an image\. .*2 or 3 axes"):
        Image().check(tmp_path)
    save(tmp_path / "a.png", 5, 5)
    assert len(Image().check(tmp_path)) == 1  # arrays beside images are something else


def test_objects_in_npy_files_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInput, match=r"a\.npy' must be a readable image"):
        Image().check([tmp_path / "a.npy"])


# Kinds of pixels


def test_grey_pages_of_one_size_are_channels(tmp_path: Path) -> None:
    bands = pixels(5, 8, 6, dtype=np.uint16)
    first, *others = [Pillow.fromarray(band) for band in bands]
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    np.testing.assert_array_equal(one_image(tmp_path / "a.tif", "auto"), bands)


def test_smaller_copies_for_viewers_are_no_pages(tmp_path: Path) -> None:
    whole, small = pixels(16, 16, 3), Pillow.fromarray(pixels(4, 4, 3))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Pillow.fromarray(whole).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Pillow.open(tmp_path / "a.tif") as made:
        assert made.n_frames == 2
    np.testing.assert_array_equal(one_image(tmp_path / "a.tif", "auto"), np.moveaxis(whole, 2, 0))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_several_frames_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Pillow.fromarray(pixels(8, 8, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidInput, match=r"must hold one image; got 3 frames\. Save them one by one"):
        Image().check(tmp_path)


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    pages = [Pillow.fromarray(pixels(size, size)) for size in (8, 9)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InvalidInput, match=r"got 2 pages of shapes \[\(1, 8, 8\), \(1, 9, 9\)\]"):
        Image().check(tmp_path)


def test_cmyk_and_palettes_become_colours(tmp_path: Path) -> None:
    colours = Pillow.fromarray(pixels(8, 8, 3) // 64 * 64)
    for name, mode in (("a.tif", "CMYK"), ("b.png", "P"), ("c.png", "RGBA")):
        colours.convert(mode).save(tmp_path / name)
        with Pillow.open(tmp_path / name) as stored:
            expected = np.moveaxis(np.asarray(stored.convert("RGB")), 2, 0)
        np.testing.assert_array_equal(one_image(tmp_path / name, "auto"), expected)


def test_one_bit_grey_and_float_files(tmp_path: Path) -> None:
    bits = pixels(6, 6) > 100
    Pillow.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(one_image(tmp_path / "a.png", "auto")[0], bits * 255)
    numbers = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    Pillow.fromarray(numbers).save(tmp_path / "b.tif")
    np.testing.assert_array_equal(one_image(tmp_path / "b.tif", "auto")[0], numbers)


# Threads


def test_results_and_their_order_do_not_depend_on_workers(tmp_path: Path) -> None:
    paths = folder(tmp_path, 12)
    expected = np.stack([pixels(9, 8, seed=number) for number in range(12)])[:, None] / np.float32(255)
    for workers in (1, 2, 7, None):
        np.testing.assert_array_equal(read(paths, workers=workers), expected)


def test_the_first_error_in_order_is_raised_and_the_rest_is_not_read() -> None:
    seen = []

    def make(path: str) -> str:
        seen.append(path)
        if path == "3":
            raise InvalidInput(path)
        return path

    with pytest.raises(InvalidInput, match="3"):
        list(in_order(make, [str(number) for number in range(2000)], 2))
    assert len(seen) < 2000


@pytest.mark.parametrize("settings", [{"workers": 0}, {"workers": 1.5}, {"workers": True}, {"on_error": "ignore"}])
def test_settings_must_be_known(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        Image(**settings)


# A glance


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_glance_at_a_large_jpeg_tells_its_shape_and_sees_the_same(tmp_path: Path, orientation: int) -> None:
    smooth = Pillow.fromarray(pixels(8, 6, 3)).resize((480, 640), Pillow.Resampling.BICUBIC)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    smooth.save(tmp_path / "a.jpg", exif=exif)
    shape, small = glance(tmp_path / "a.jpg", "auto")
    whole = one_image(tmp_path / "a.jpg", "auto")
    assert shape == whole.shape
    assert small.shape[1] < whole.shape[1]
    assert (small.shape[1] > small.shape[2]) == (whole.shape[1] > whole.shape[2])
    np.testing.assert_allclose(small.mean(axis=(1, 2)), whole.mean(axis=(1, 2)), atol=2.0)


# Bad files


def test_a_fit_fails_at_once_for_a_file_that_is_cut_short(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.jpg", 300, 300, 3, seed=number) for number in range(3)]
    truncated(paths[2])
    with pytest.raises(InvalidInput, match=r"2\.jpg' must be a readable image; got an error: .*truncated"):
        Image().check(paths)


def test_once_fitted_headers_are_looked_at_first(tmp_path: Path) -> None:
    paths = folder(tmp_path)
    modality = Image()
    modality.fit(modality.check(paths))
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(InvalidInput, match=r"1\.png' must be a readable image"):
        modality.check(paths)
    paths = [paths[0], truncated(paths[2], 0.6)]
    images = modality.check(paths)
    with pytest.raises(InvalidInput, match=r"2\.png' must be a readable image"):
        modality.tensors(images)


def bad_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Eight files of which the numbers 1, 3 and 6 cannot be used, and a name where nothing is."""
    paths = folder(tmp_path, 8)
    truncated(paths[1])
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 200)
    save(paths[3], 40, 40)
    np.save(tmp_path / "6.npy", pixels(9, 8, 4))
    paths[6] = tmp_path / "6.npy"
    return [*paths, tmp_path / "nothing.png"]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("workers", [1, 3])
def test_bad_files_are_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    modality = Image(on_error="skip", workers=workers)
    modality.fit(modality.check(folder(tmp_path, 3)))
    paths = bad_folder(tmp_path, monkeypatch)
    with pytest.warns(InputWarning, match=r"4 of 9 images cannot be used and are left out\. .*1\.png") as told:
        images = modality.check(paths)
    assert len(told) == 1
    assert "nothing" not in str(told[0].message)  # three are named
    assert [sample.row for sample in skipped(images)] == [1, 3, 6, 8]
    assert [sample.id for sample in skipped(images)] == [str(paths[row]) for row in (1, 3, 6, 8)]
    for sample, reason in zip(skipped(images), ("readable", "larger", "1 channels", "No such file"), strict=True):
        assert reason in sample.reason
    assert modality.ids(images).tolist() == [str(paths[row]) for row in (0, 2, 4, 5, 7)]
    assert modality.check(images) is images
    assert skipped(take(images, np.array([1, 2]))) == ()


def test_rows_keep_their_numbers() -> None:
    modality = Image(on_error="skip")
    bad = np.full((4, 4), np.nan)
    with pytest.warns(InputWarning, match=r"1 of 3 images .* 1: An image must be finite"):
        images = modality.check([np.zeros((4, 4)), bad, np.ones((4, 4))])
    assert modality.ids(images).tolist() == [0, 2]
    assert modality.ids(images[np.array([1])]).tolist() == [2]


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    paths = [truncated(path) for path in folder(tmp_path, 2)]
    with pytest.raises(InvalidInput, match=r"an image that can be read; got 2 that cannot\. .*0\.png"):
        Image(on_error="skip").check(paths)


def detector(**settings: Any) -> Detector:
    pixel = Branch(name="pixels", encoder=encoders.Raw(), scorer=scorers.KNN(k=1))
    rate = thresholds.PerEntity(each=thresholds.Conformal(false_alarm_rate=0.2), least=3)
    return Detector(Image(on_error="skip", **settings), branches=[pixel], threshold=rate, calibration_fraction=0.4)


def test_values_beside_the_images_stay_with_them(tmp_path: Path) -> None:
    """A detector that skips is one that never saw the bad files."""
    paths = folder(tmp_path, 30)
    good = [path for number, path in enumerate(paths) if number not in (4, 17)]
    for number in (4, 17):
        truncated(paths[number])
    groups = [number // 2 for number in range(30)]
    entities = ["a" if number % 3 else "b" for number in range(30)]
    keep = [number for number in range(30) if number not in (4, 17)]
    expected = detector().fit(
        good, groups=[groups[number] for number in keep], entities=[entities[number] for number in keep]
    )
    with pytest.warns(InputWarning, match="2 of 30"):
        fitted = detector().fit(paths, groups=np.array(groups), entities=pd.Series(entities))
    np.testing.assert_array_equal(fitted.calibration_scores_, expected.calibration_scores_)
    assert fitted.calibration_entities_ == expected.calibration_entities_
    np.testing.assert_array_equal(fitted.split_.train, np.array(keep)[expected.split_.train])
    assert [sample.row for sample in fitted.skipped_] == [4, 17]
    with pytest.warns(InputWarning, match="2 of 30"):
        found = fitted.detect(paths, entities=entities)
    assert [sample.id for sample in found.skipped] == [str(paths[4]), str(paths[17])]
    assert found.rows is not None
    assert found.rows.tolist() == keep
    assert found.ids.tolist() == [str(path) for path in good]
    judged = expected.detect(good, entities=[entities[number] for number in keep])
    np.testing.assert_array_equal(found.p_values, judged.p_values)
    assert "2 could not be read" in repr(found)
    with pytest.warns(InputWarning), pytest.raises(InvalidInput, match="`groups` must have one value per sample given"):
        detector().fit(paths, groups=groups[2:])


@pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")
def test_updates_align_too(tmp_path: Path) -> None:
    paths = folder(tmp_path, 40)
    fitted = detector().fit(paths[:30], entities=["a"] * 30)
    truncated(paths[33])
    with pytest.warns(InputWarning, match="1 of 10"):
        fitted.update(paths[30:], into="calibration", entities=[f"e{number}" for number in range(10)])
    assert fitted.calibration_entities_ is not None
    assert fitted.calibration_entities_[-9:] == [f"e{number}" for number in range(10) if number != 3]


def test_images_with_odd_channels_are_named_at_fit() -> None:
    modality = Image(layout="channels-first")
    images = modality.check([np.zeros((3, 4, 4)), np.zeros((3, 4, 4)), np.zeros((5, 4, 4))])
    with pytest.raises(InvalidInput, match=r"got \[3, 5\]\. .* unlike most is '2', with 5"):
        modality.fit(images)


def test_groups_of_images_that_are_left_out_are_their_own(tmp_path: Path) -> None:
    paths = folder(tmp_path, 45)
    for number in (10, 11, 12):
        paths[number].write_bytes(paths[20].read_bytes())
    truncated(paths[30])
    with pytest.warns(InputWarning, match="1 of 45"):
        codes = find_groups(paths, Image(on_error="skip"))
    assert len(codes) == 45
    assert len(np.unique(codes)) == 42
    assert len({codes[number] for number in (10, 11, 12, 20)}) == 1


def test_images_are_a_sequence() -> None:
    images = Image().check([np.zeros((4, 4)), np.ones((4, 4))])
    assert isinstance(images, Images)
    assert len(images) == 2
    assert images[1].mean() == 1.0
    assert [image.mean() for image in images[np.array([1, 0, 1])]] == [1.0, 0.0, 1.0]
