from __future__ import annotations

import json
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from unalike.data import take
from unalike.errors import InputWarning, InvalidInput, InvalidParameter, NotFitted
from unalike.modalities import Image
from unalike.types import Schema

Pixels = np.ndarray[Any, Any]


def pixels(*shape: int, seed: int = 0, dtype: Any = np.uint8) -> Pixels:
    numbers = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, endpoint=True)
    return numbers.astype(dtype)


def fitted(X: Any, **arguments: Any) -> Image:
    modality = Image(**arguments)
    return modality.fit(modality.check(X))


def tensors(modality: Image, X: Any) -> torch.Tensor:
    return modality.tensors(modality.check(X))


def learned(X: Any, **arguments: Any) -> torch.Tensor:
    return tensors(fitted(X, **arguments), X)


# Values


@pytest.mark.parametrize(
    ("dtype", "divisor"), [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535), (np.int32, 1), (np.int8, 1)]
)
def test_integers_are_scaled_by_their_range(dtype: Any, divisor: int) -> None:
    X = pixels(4, 6, 5, dtype=dtype)
    made = learned(X)
    assert made.dtype == torch.float32
    assert made.shape == (4, 1, 6, 5)
    np.testing.assert_array_equal(made[:, 0].numpy(), X.astype(np.float32) / np.float32(divisor))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_values_are_taken_as_they_are(dtype: Any) -> None:
    X = np.random.default_rng(0).normal(3.0, 100.0, (3, 4, 4)).astype(dtype)
    np.testing.assert_array_equal(learned(X)[:, 0].numpy(), X.astype(np.float32))


def test_booleans_are_zero_and_one() -> None:
    assert learned(np.array([[[True, False]]])).tolist() == [[[[1, 0]]]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(value: float) -> None:
    X = np.zeros((2, 4, 4))
    X[1, 2, 3] = value
    with pytest.raises(
        InvalidInput, match=r"`X` must be finite; got NaN or infinity\. Replace them, for example with 0"
    ):
        Image().check(X)
    with pytest.raises(InvalidInput, match="An image must be finite; got NaN or infinity"):
        learned(list(X))


# Layouts


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("kind", [np.array, torch.from_numpy])
def test_layouts_agree(kind: Any, channels: int) -> None:
    last = pixels(3, 7, 9, channels)
    first = np.moveaxis(last, 3, 1).copy()
    expected = torch.from_numpy(first).float() / 255
    for layout, X in (("channels-last", last), ("channels-first", first)):
        modality = fitted(kind(X), layout=layout)
        assert modality.schema == Schema((channels, 7, 9))
        assert torch.equal(tensors(modality, kind(X)), expected)
        assert torch.equal(tensors(modality, [kind(image) for image in X]), expected)
        assert torch.equal(learned([kind(image) for image in X], layout=layout), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_arrays_are_found(channels: int) -> None:
    last = pixels(3, 7, 9, channels)
    first = np.moveaxis(last, 3, 1).copy()
    for X in (last, first, torch.from_numpy(first)):
        assert torch.equal(learned(X), torch.from_numpy(first).float() / 255)
        assert torch.equal(learned(list(X)), torch.from_numpy(first).float() / 255)


def test_last_wins_when_both_ends_fit() -> None:
    assert fitted(pixels(2, 3, 8, 3)).schema.shape == (3, 3, 8)


def test_torch_has_channels_first_whatever_their_number() -> None:
    X = torch.from_numpy(pixels(2, 6, 5, 3))
    assert fitted(X).schema.shape == (6, 5, 3)
    assert fitted(list(X)).schema.shape == (6, 5, 3)


@pytest.mark.parametrize("wrap", [lambda X: X, list])
def test_ambiguous_arrays_say_so(wrap: Any) -> None:
    with pytest.raises(
        InvalidInput,
        match=r"where its channels are when there are not 1, 3 or 4; got shape \(7, 9, 5\)\. Use modalities\.Image",
    ):
        learned(wrap(pixels(2, 7, 9, 5)))


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    layout=st.sampled_from(["auto", "channels-last", "channels-first"]),
    kind=st.sampled_from([np.array, torch.from_numpy]),
    axes=st.integers(3, 4),
)
def test_checking_twice_changes_nothing(shape: tuple[int, ...], layout: Any, kind: Any, axes: int) -> None:
    modality = Image(layout=layout)
    try:
        once = modality.check(kind(pixels(*shape[:axes])))
    except InvalidInput as error:
        assert "where its channels are" in str(error)  # noqa: PT017
        return
    some = modality.check(take(once, np.arange(len(once))))
    np.testing.assert_array_equal(modality.check(once), once)
    np.testing.assert_array_equal(some, once)
    modality.fit(once)
    assert modality.schema.shape == once.shape[1:]
    assert torch.equal(tensors(modality, some), modality.tensors(once))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], r"`X` must hold at least one image; got none\. Give more"),
        (np.zeros((0, 4, 4)), "`X` must hold at least one image; got none"),
        (
            np.zeros((4, 4)),
            r"`X` must have shape \(n, height, width\), .*; got \(4, 4\)\. Give one image as a list of one",
        ),
        (np.zeros((1, 2, 3, 4, 5)), r"got \(1, 2, 3, 4, 5\)"),
        (np.zeros((2, 0, 4)), r"`X` must have pixels; got shape \(2, 1, 0, 4\)"),
        (np.zeros((2, 4, 4), dtype=complex), "`X` must hold numbers, paths or PIL images; got an array of complex128"),
        (np.array([["a", "b"]]), "`X` must hold numbers, paths or PIL images; got an array of <U1"),
        (7, "got an array|must have shape"),
    ],
)
def test_what_is_no_images(X: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Image().check(X)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (3, r"2 or 3 axes; got int of shape \(\)"),
        (np.zeros((2, 2, 2, 2)), r"2 or 3 axes; got ndarray of shape \(2, 2, 2, 2\)"),
        (np.array([["a"]]), "got an array of <U1"),
        (None, "got an array of object"),
        (np.zeros((0, 3)), r"An image must have pixels; got shape \(1, 0, 3\)"),
    ],
)
def test_what_is_no_image_in_a_list(image: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        learned([image])


@pytest.mark.parametrize("size", [(0, 5), (4,), (4, 4, 4)])
def test_size_must_be_two_lengths(size: Any) -> None:
    with pytest.raises(InvalidParameter, match="`size` must be a height and a width of 1 or more; got"):
        Image(size=size)


def test_unknown_layout() -> None:
    with pytest.raises(
        InvalidParameter, match="`layout` must be 'auto', 'channels-last' or 'channels-first'; got 'nhwc'"
    ):
        Image(layout="nhwc")  # type: ignore[arg-type]


# Sizes


def test_images_of_one_size_keep_it() -> None:
    assert fitted(pixels(3, 20, 30)).size_ == (20, 30)
    assert fitted(list(pixels(3, 20, 30))).size_ == (20, 30)


def test_longer_side_is_at_most_128() -> None:
    assert fitted(np.zeros((2, 300, 150))).size_ == (128, 64)
    assert fitted(np.zeros((2, 10, 1280))).size_ == (1, 128)


def test_mixed_sizes_are_brought_to_the_median() -> None:
    X = [pixels(height, 10, seed=height) for height in (8, 12, 40)]
    modality = fitted(X)
    assert modality.size_ == (12, 10)
    made = tensors(modality, X)
    assert made.shape == (3, 1, 12, 10)
    assert torch.equal(made[1, 0], torch.from_numpy(X[1]).float() / 255)


def test_resizing_averages_as_pillow_does() -> None:
    image = pixels(64, 48, seed=3)
    made = learned([image], size=(16, 12))[0, 0] * 255
    with Pillow.fromarray(image) as whole:
        expected = np.asarray(whole.resize((12, 16), Pillow.Resampling.BILINEAR), dtype=np.float32)
    np.testing.assert_allclose(made.numpy(), expected, atol=1.0)


@pytest.mark.parametrize("size", [(5, 6), [5, 6]])
def test_given_size_wins(size: Any) -> None:
    modality = fitted(pixels(2, 10, 12), size=size)
    assert modality.size_ == (5, 6)
    assert tensors(modality, pixels(1, 5, 6)).shape == (1, 1, 5, 6)


# Files


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "jpg", "webp"])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_files_give_the_pixels(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    smooth = np.add.outer(np.arange(20), np.arange(30)).astype(np.uint8) * 4
    image = smooth if len(shape) == 2 else np.stack([smooth, smooth // 2, 255 - smooth], axis=2)
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95, "subsampling": 0}}.get(suffix, {})
    Pillow.fromarray(image).save(tmp_path / f"a.{suffix}", **options)
    made = learned(tmp_path)
    expected = learned(image[None])
    if suffix == "webp" and len(shape) == 2:  # WebP knows no grey
        expected = expected.expand(1, 3, -1, -1)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() <= (6 / 255 if suffix == "jpg" else 0)


@pytest.mark.parametrize(("suffix", "byteorder"), [("png", "<u2"), ("tiff", "<u2"), ("tiff", ">u2")])
def test_16_bits_are_kept(tmp_path: Path, suffix: str, byteorder: str) -> None:
    image = pixels(6, 5, dtype=np.uint16)
    Pillow.fromarray(image.astype(byteorder)).save(tmp_path / f"a.{suffix}")
    made = learned(tmp_path)
    np.testing.assert_array_equal(made[0, 0].numpy(), image.astype(np.float32) / np.float32(65535))


def test_32_bit_integers_are_held_against_16(tmp_path: Path) -> None:
    image = pixels(6, 5, dtype=np.uint16).astype(np.int32)
    Pillow.fromarray(image).save(tmp_path / "a.tiff")
    assert torch.equal(learned(tmp_path), learned(image[None].astype(np.uint16)))
    Pillow.fromarray(image + 65535).save(tmp_path / "a.tiff")
    with pytest.raises(
        InvalidInput, match=r"a\.tiff' must have at most 16 bits per pixel; got values from 6\d+ to 1\d+"
    ):
        learned(tmp_path)


def test_floating_point_tiff(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    Pillow.fromarray(image).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(learned(tmp_path)[0, 0].numpy(), image)
    image[0, 0] = np.nan
    Pillow.fromarray(image).save(tmp_path / "a.tif")
    with pytest.raises(InvalidInput, match=r"a\.tif' must be finite; got NaN or infinity"):
        learned(tmp_path)


TURNS = {1: 0, 8: 1, 3: 2, 6: 3}


@pytest.mark.parametrize("orientation", [*TURNS, 2])
@pytest.mark.parametrize("opened", [False, True])
def test_photos_stand_upright(tmp_path: Path, orientation: int, opened: bool) -> None:
    upright = pixels(8, 12, 3)
    stored = upright[:, ::-1] if orientation == 2 else np.rot90(upright, -TURNS[orientation])
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    with Pillow.open(tmp_path / "a.png") as image:
        made = learned([image] if opened else tmp_path)
    assert torch.equal(made, learned(upright[None]))


def test_palettes_become_colours_and_transparency_is_dropped(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]], dtype=np.uint8)
    codes = pixels(6, 6) % 4
    palette = Pillow.fromarray(codes.astype(np.uint8), "P")
    palette.putpalette(colours.tobytes())
    expected = learned(colours[codes][None])
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "transparent.png", transparency=bytes([0, 10, 255, 40]))
    Pillow.fromarray(colours[codes]).convert("RGBA").save(tmp_path / "rgba.png")
    assert torch.equal(learned(tmp_path), expected.expand(3, -1, -1, -1))


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("I", 1), ("F", 1), ("P", 3), ("PA", 3), ("RGB", 3), ("RGBA", 3),
     ("RGBX", 3), ("CMYK", 3), ("YCbCr", 3), ("LAB", 3), ("HSV", 3)],
)  # fmt: skip
def test_every_mode_of_pillow(mode: str, channels: int) -> None:
    modality = fitted([Pillow.new(mode, (5, 4))])
    assert modality.schema.shape == (channels, 4, 5)


def test_black_and_white_is_zero_and_one() -> None:
    image = Pillow.fromarray(np.array([[True, False], [False, True]]))
    assert image.mode == "1"
    assert learned([image])[0, 0].tolist() == [[1, 0], [0, 1]]


def test_lists_may_mix_paths_arrays_and_pil_images(tmp_path: Path) -> None:
    image = pixels(6, 5, 3)
    Pillow.fromarray(image).save(tmp_path / "a.png")
    X = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Pillow.fromarray(image),
        image,
        torch.from_numpy(image).movedim(2, 0),
    ]
    made = learned(X)
    assert torch.equal(made, made[:1].expand(5, -1, -1, -1))
    assert torch.equal(made[:1], learned(image[None]))


def test_npz_of_images(tmp_path: Path) -> None:
    X = pixels(4, 8, 8, 3)
    np.savez(tmp_path / "a.npz", X=X)
    assert torch.equal(learned(str(tmp_path / "a.npz")), learned(X))


# Folders and names


def test_folders_are_read_below_and_in_order(tmp_path: Path) -> None:
    for number, name in enumerate(["b.png", "a/z.png", "a/deep/c.PNG"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(np.full((4, 4), number * 10, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "a/notes.txt").write_text("no image")
    modality = Image()
    X = modality.check(str(tmp_path))
    modality.fit(X)
    assert modality.ids(X).tolist() == [str(tmp_path / name) for name in ("a/deep/c.PNG", "a/z.png", "b.png")]
    assert (modality.tensors(X)[:, 0, 0, 0] * 255).tolist() == [20, 10, 0]
    assert modality.check(modality.check(X)) == X


def test_ids_of_what_has_no_names() -> None:
    assert Image().ids(pixels(3, 2, 2)).tolist() == [0, 1, 2]
    assert Image().ids([pixels(2, 2), "a.png"]).tolist() == [0, 1]
    assert Image().ids(["b.png", Path("a.png")]).tolist() == ["b.png", "a.png"]


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must hold images .*; got none"):
        Image().check(tmp_path)
    with pytest.raises(InvalidInput, match="`path` must exist"):
        Image().check(tmp_path / "none")


# Broken files


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"broken.{suffix}"
    Pillow.fromarray(pixels(64, 64, 3)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        InvalidInput, match=rf"broken\.{suffix}' must be a readable image; got an error: .*Mend or remove"
    ):
        learned(tmp_path)


def test_flipped_bytes_are_an_error_that_names_the_file_or_pixels(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    Pillow.fromarray(pixels(16, 16, 3)).save(path)
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            assert learned([path]).isfinite().all()
        except InvalidInput as error:
            refused += "broken.png" in str(error)
    assert refused > 10


def test_text_with_the_name_of_an_image(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(InvalidInput, match=r"notes\.png' must be a readable image; got an error: cannot identify"):
        learned(tmp_path)
    with pytest.raises(InvalidInput, match=r"gone\.png' must be a readable image; got an error: .*No such file"):
        learned([tmp_path / "gone.png"])


def test_lazily_opened_images_that_are_broken(tmp_path: Path) -> None:
    Pillow.fromarray(pixels(64, 64, 3)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with (
        Pillow.open(tmp_path / "a.png") as image,
        pytest.raises(InvalidInput, match="An image must be a readable image"),
    ):
        learned([image])


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("width", [10_000, 100_000])
@pytest.mark.parametrize("warned", ["error", "ignore"])
def test_decompression_bombs_are_refused(tmp_path: Path, width: int, warned: Any) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(width, 10_000))
    limit = Pillow.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter(warned, Pillow.DecompressionBombWarning)
        with pytest.raises(
            InvalidInput,
            match=rf"bomb\.png' must not be larger than Pillow trusts, {limit} pixels; got: .* Make it smaller or",
        ):
            learned(tmp_path)
    assert limit == Pillow.MAX_IMAGE_PIXELS


def test_users_limit_on_pixels_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.fromarray(pixels(10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", None)
    assert learned(tmp_path).shape == (1, 1, 10, 10)


# What `fit` saw


def test_channels_must_agree_in_training() -> None:
    with pytest.raises(InvalidInput, match=r"images with one number of channels; got \[1, 2\]\. Convert them"):
        fitted([pixels(4, 4), pixels(2, 4, 4)], layout="channels-first")


def test_channels_must_be_those_of_training(tmp_path: Path) -> None:
    modality = fitted(pixels(2, 4, 4))
    Pillow.fromarray(pixels(4, 4, 3)).save(tmp_path / "color.png")
    with pytest.raises(InvalidInput, match=r"`X` must have 1 channels, as in `fit`; got 3\. Convert it"):
        modality.check(pixels(2, 4, 4, 3))
    with pytest.raises(InvalidInput, match=r"color\.png' must have 1 channels, as in `fit`; got 3"):
        tensors(modality, tmp_path)
    with pytest.raises(InvalidInput, match="Every image must have 1 channels, as in `fit`; got 3"):
        tensors(modality, [pixels(4, 4, 3)])


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("size", [None, (7, 5)])
def test_pieces_give_the_images_of_the_whole(as_list: bool, size: tuple[int, int] | None) -> None:
    stacked = pixels(7, 12, 10, 3)
    modality = fitted(list(stacked) if as_list else stacked, size=size)
    X, owner = modality.cut(modality.check(list(stacked) if as_list else stacked))
    assert owner.tolist() == list(range(7))
    pieces = [modality.tensors(take(X, np.array(rows))) for rows in ([0], [2, 1], [3, 4, 5, 6])]
    assert torch.equal(torch.cat(pieces), modality.tensors(X)[[0, 2, 1, 3, 4, 5, 6]])


def test_state_goes_through_json() -> None:
    X = [pixels(9, 14, 3), pixels(11, 12, 3)]
    modality = fitted(X)
    loaded = Image()
    loaded.restore(json.loads(json.dumps(modality.state())))
    assert loaded.schema == modality.schema
    assert torch.equal(tensors(loaded, X), tensors(modality, X))


def test_nothing_given_is_changed_even_when_read_only() -> None:
    for X in (np.zeros((2, 4, 4), dtype=np.float32), torch.zeros(2, 4, 4)):
        modality = fitted(X)
        tensors(modality, X).add_(1.0)
        tensors(modality, list(X)).add_(1.0)
        assert (X == 0).all()
    locked = np.zeros((2, 4, 4), dtype=np.float32)
    locked.setflags(write=False)
    assert tensors(fitted(locked), list(locked)).sum() == 0
    assert learned(torch.zeros(2, 3, 4, 4, requires_grad=True)).sum() == 0


def test_not_fitted() -> None:
    for use in (lambda: Image().schema, lambda: Image().state(), lambda: Image().tensors([pixels(2, 2)])):
        with pytest.raises(NotFitted, match=r"`Image` must be fitted first\. Call `fit`"):
            use()


def test_grey_files_among_colour_ones_become_colour(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (8, 8), dtype=np.uint8)
    Pillow.fromarray(grey).save(tmp_path / "a.png")
    Pillow.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "b.png")
    image = Image()
    paths = image.check(tmp_path)
    tensors = image.fit(paths).tensors(paths)
    assert tensors.shape == (2, 3, 8, 8)
    np.testing.assert_array_equal(tensors[0].numpy(), np.repeat(grey[None] / np.float32(255), 3, axis=0))


# ---- another scale than in training ------------------------------------------------------------------------------


def floats(n: int, largest: float, seed: int = 0) -> Pixels:
    return (np.random.default_rng(seed).random((n, 6, 6)) * largest).astype(np.float32)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("trained", "given"), [(1.0, 255.0), (255.0, 1.0), (1.0, 16.0), (-1.0, 255.0)])
def test_floats_on_another_scale_are_warned_of(trained: float, given: float, as_list: bool) -> None:
    modality = fitted(floats(20, trained))
    X = floats(5, given, seed=1)
    with pytest.warns(InputWarning, match=r"typically go up to .*got images that go up to") as told:
        modality.check(list(X) if as_list else X)
    assert told[0].filename == __file__
    loaded = Image()
    loaded.restore(json.loads(json.dumps(modality.state())))
    with pytest.warns(InputWarning, match=f"up to {np.median(X.max(axis=(1, 2))):.3g},"):
        loaded.check(X)


def test_floats_for_bytes_and_the_reverse_are_warned_of(tmp_path: Path) -> None:
    of_bytes, of_floats = fitted(pixels(20, 6, 6)), fitted(floats(20, 255.0))
    Pillow.fromarray(pixels(6, 6)).save(tmp_path / "a.png")
    Pillow.fromarray(floats(1, 255.0)[0]).save(tmp_path / "b.tif")
    for modality, X in (
        (of_bytes, floats(5, 255.0)),
        (of_bytes, pixels(5, 6, 6).astype(np.int64)),
        (of_bytes, [tmp_path / "b.tif"]),
        (of_floats, pixels(5, 6, 6)),
        (of_floats, [tmp_path / "a.png"]),
        (of_floats, [Pillow.open(tmp_path / "a.png")]),
    ):
        with pytest.warns(InputWarning, match="on the scale of the training images"):
            modality.check(X)


def test_dark_bright_and_odd_images_are_no_other_scale(tmp_path: Path) -> None:
    """Warnings are errors here."""
    of_bytes, of_floats = fitted(pixels(20, 6, 6)), fitted(floats(20, 1.0))
    dark = np.full((3, 6, 6), 2, dtype=np.uint8)
    Pillow.fromarray(dark[0]).save(tmp_path / "dark.png")
    one_hot = floats(9, 1.0, seed=2)
    one_hot[4, 0, 0] = 1e6
    for X in (dark, list(dark), [tmp_path / "dark.png"], floats(4, 0.3), floats(4, 3.0), np.zeros((1, 6, 6)), one_hot):
        of_bytes.check(X)
        of_floats.check(X)
    fitted(one_hot).check(floats(9, 1.0))
    old = Image()
    old.restore({name: value for name, value in of_bytes.state().items() if name != "reach"})
    old.check(floats(4, 255.0))
