"""anomalib's PatchCore, PaDiM and DFM on the same pretrained network, at 224 pixels.

They are anomalib's own torch models, with its feature extractor (timm's ``features_only``), into which the local
weights are loaded by name; images come in the standardisation that the network was trained with. Anomalib's layers 2
and 3 of a ResNet, the maps at an eighth and a sixteenth, are stages 2 and 4 here. Departures from its defaults:

- PatchCore keeps 1% of the patches instead of 10%, and chooses them from 50,000 drawn at random, as ours does: the
  greedy choice of 60,000 among 600,000 takes hours on a CPU. ``patchcore-deep`` takes the maps of stages 4, 5 and 6
  (those of our patches) and keeps 2%. The choice is anomalib's, with its distances from one product instead of a
  difference of all rows in each step.
- PaDiM takes 100 of the 176 numbers of a place, what anomalib does for a ResNet-18.
- DFM takes stage 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import images_network as network
from benchmarks import images_tools
from benchmarks.harness import Maker
from benchmarks.images_data import Train
from benchmarks.images_metrics import SIDE, Maps
from benchmarks.images_network import Images
from unalike.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

SHALLOW = ("blocks.1", "blocks.2", "blocks.4")

_CHUNK = 16
SHARE, SHARE_DEEP = 0.01, 0.02
"""Of the patches that PatchCore keeps."""
_POOL = 50_000
"""Patches that it chooses from, at most."""
_PADIM_FEATURES = 100


class Anomalib:
    """One of anomalib's models behind the harness' contract.

    Parameters
    ----------
    model : Module
        Of anomalib: it gathers embeddings in training mode, then scores and draws maps.
    finish : callable
        Fits what was gathered.
    """

    def __init__(self, model: Any, finish: Callable[[], None]) -> None:
        self._model, self._finish = model, finish

    def fit(self, train: Train) -> None:
        self._model.train()
        for batch in _batches(train.images):
            self._model(batch)
        self._finish()
        self._model.eval()

    def score(self, test: Images, method: str = "") -> FloatArray:
        import torch

        scores, maps = [], []
        with torch.inference_mode():
            for batch in _batches(test):
                told = self._model(batch)
                scores.append(told.pred_score.reshape(-1))
                maps.append(told.anomaly_map.reshape(-1, SIDE, SIDE))
        self._maps: Maps = torch.cat(maps).numpy()
        found: FloatArray = torch.cat(scores).double().numpy()
        return found

    def maps(self, test: Images, method: str = "") -> Maps:
        """Of the images that were scored last."""
        return self._maps


class Stages:
    """Maps of stages that timm's ``features_only`` does not give, in the form of anomalib's feature extractor."""

    def __new__(cls, stages: Sequence[str]) -> Any:
        """A module ``(n, 3, h, w) -> {stage: map}``."""
        from torch import nn

        class Extractor(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network: Any = network.pretrained()

            def forward(self, data: Tensor) -> dict[str, Tensor]:
                found = {}
                self.network.eval()  # as anomalib's extractor: training mode is for the bank, not for the network
                data = self.network.bn1(self.network.conv_stem(data))
                for number, block in enumerate(self.network.blocks[: int(stages[-1].split(".")[1]) + 1]):
                    data = block(data)
                    if f"blocks.{number}" in stages:
                        found[f"blocks.{number}"] = data
                return found

        return Extractor()


def with_weights(model: Any) -> Any:
    """Anomalib's model with the pretrained weights in its extractor."""
    extractor = model.feature_extractor.feature_extractor
    own = extractor.state_dict()
    weights = network.pretrained().state_dict()
    extractor.load_state_dict({name: weights[name] for name in own})
    return model


def kept(model: Any, share: float) -> None:
    """Choose the bank of anomalib's PatchCore from what it gathered: `share` of all patches, from a part of them."""
    import torch

    greedy: Any = images_tools.library("models.components").KCenterGreedy

    class Greedy(greedy):  # type: ignore[misc]
        min_distances: Any

        def update_distances(self, cluster_center: Any) -> None:
            if self.min_distances is None:
                self._squares = (self.features**2).sum(dim=1)
                self.min_distances = torch.full((len(self.features), 1), torch.inf)
            row = self.features[cluster_center].reshape(-1)
            squared = torch.addmv(self._squares + row @ row, self.features, row, alpha=-2.0)
            torch.minimum(self.min_distances, squared.clamp_min_(0.0)[:, None], out=self.min_distances)

    patches = torch.vstack(model.embedding_store)
    model.embedding_store.clear()
    drawn = patches[torch.randperm(len(patches))[:_POOL]]
    count = max(int(share * len(patches)), 1)
    model.memory_bank = Greedy(embedding=drawn, sampling_ratio=min((count + 0.5) / len(drawn), 1.0)).sample_coreset()


def patchcore() -> Any:
    """PatchCore on the maps at an eighth and a sixteenth."""
    made = images_tools.library("models.image.patchcore.torch_model").PatchcoreModel
    return with_weights(made(layers=list(SHALLOW[1:]), backbone=network.NETWORK, pre_trained=False))


def _patchcore(seed: int) -> Anomalib:
    model = patchcore()
    return Anomalib(model, partial(kept, model, SHARE))


def _patchcore_deep(seed: int) -> Anomalib:
    model = patchcore()
    model.layers = list(network.DEEP)
    model.feature_extractor = Stages(network.DEEP)
    return Anomalib(model, partial(kept, model, SHARE_DEEP))


def _padim(seed: int) -> Anomalib:
    made = images_tools.library("models.image.padim.torch_model").PadimModel
    model = made(layers=list(SHALLOW), backbone=network.NETWORK, pre_trained=False, n_features=_PADIM_FEATURES)
    return Anomalib(with_weights(model), model.fit)


def _dfm(seed: int) -> Anomalib:
    made = images_tools.library("models.image.dfm.torch_model").DFMModel
    model = with_weights(made(backbone=network.NETWORK, layer=SHALLOW[-1], pre_trained=False))
    return Anomalib(model, model.fit)


def _batches(images: Images) -> Any:
    for at in range(0, len(images), _CHUNK):
        yield network.standardised(network.tensors(images[at : at + _CHUNK], SIDE))


def _quietly(make: Any, seed: int) -> Anomalib:
    import logging

    import torch

    torch.manual_seed(seed)
    logging.getLogger().setLevel(logging.WARNING)
    made: Anomalib = make(seed)
    return made


ANOMALIB: dict[str, Maker] = {
    "anomalib-patchcore": partial(_quietly, _patchcore),
    "anomalib-patchcore-deep": partial(_quietly, _patchcore_deep),
    "anomalib-padim": partial(_quietly, _padim),
    "anomalib-dfm": partial(_quietly, _dfm),
}
