"""A frozen network below one that trains."""

from __future__ import annotations

from torch import Tensor, nn

from unalike.errors import InvalidParameter


class Stemmed(nn.Module):
    """``rest(stem(data))``: `stem` is never trained and always in evaluation mode; `rest` is what trains.

    Training may run on what the stem gives for some fixed views of the samples (`types.Training.fixed_views`), so that
    each epoch costs no more than the rest.

    Parameters
    ----------
    stem : Module
        ``(n, ...) -> (n, ...)``, from samples, its own scaling included.
    rest : Module
        ``(n, ...) -> (n, width)``, with attribute `width`.
    """

    def __init__(self, stem: nn.Module, rest: nn.Module) -> None:
        super().__init__()
        self.frozen = stem.requires_grad_(False).eval()
        self.trained = rest
        self.stem, self.rest = "frozen", "trained"
        self.width = int(rest.width)  # type: ignore[arg-type]

    def prepare(self, sample: Tensor) -> None:
        """Let the stem learn its scales from training samples, where it has any."""
        if hasattr(self.frozen, "prepare"):
            self.frozen.prepare(sample)  # type: ignore[operator]

    def train(self, mode: bool = True) -> Stemmed:
        """Training mode, of `rest` only."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        embeddings: Tensor = self.trained(self.frozen(data))
        return embeddings


def stem_and_rest(encoder: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The two parts that an encoder names by its attributes `stem` and `rest` (see `types.Encoder`).

    Raises
    ------
    InvalidParameter
        The encoder names none, or the stem can be trained.
    """
    names = getattr(encoder, "stem", None), getattr(encoder, "rest", None)
    if not all(isinstance(name, str) for name in names):
        raise InvalidParameter(
            f"`fixed_views` must go with an encoder that has a frozen part; {type(encoder).__name__} names none. Leave "
            "fixed_views=None, or name the parts by the attributes `stem` and `rest` (unalike.encoders.stemmed)."
        )
    stem, rest = (encoder.get_submodule(str(name)) for name in names)
    if any(parameter.requires_grad for parameter in stem.parameters()):
        raise InvalidParameter(
            f"`stem` of {type(encoder).__name__} must be frozen; some of its weights ask for gradients. Call "
            "stem.requires_grad_(False), or leave fixed_views=None."
        )
    return stem, rest
