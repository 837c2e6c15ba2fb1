"""Reading a model of texts as Hugging Face and sentence-transformers lay it out: tokenizer, network, pooling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unalike.encoders.checks import needs
from unalike.errors import InvalidParameter

POOLINGS = ("mean", "cls", "max", "last", "mean-sqrt")
_OLD_NAMES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean-sqrt",
    "pooling_mode_lasttoken": "last",
}
"""In the order in which sentence-transformers joins what several of them give."""
_NEW_NAMES = {"cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean-sqrt", "lasttoken": "last"}
_UNSTATED = 512
"""Tokens, of a model that states no maximum."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of a model but its weights: what makes it again without a file.

    Parameters
    ----------
    config : dict
        Of the network, as Hugging Face writes it.
    tokenizer : str
        JSON of the tokenizers library.
    pooling : tuple of str
        Of `POOLINGS`; the results of several are joined.
    most_tokens : int
        That the network reads at once, special ones included.
    lower : bool
        Make texts lower case first.
    prompt : str
        Goes before each text.
    """

    config: dict[str, Any]
    tokenizer: str
    pooling: tuple[str, ...]
    most_tokens: int
    lower: bool = False
    prompt: str = ""


def read_recipe(model: str, pooling: str, most_tokens: int | None) -> Recipe:
    """What the folder, or the repository on the hub, says of itself; `pooling` and `most_tokens` as in the settings.

    Raises
    ------
    InvalidParameter
        It holds no model of texts that can be read without running code from it.
    """
    transformers = needs("encoders.PretrainedText", "transformers", "text")
    with _taught(model):
        config = transformers.AutoConfig.from_pretrained(model, **_access(model))
        slow = transformers.AutoTokenizer.from_pretrained(model, **_access(model))
    if getattr(config, "is_encoder_decoder", False):
        raise InvalidParameter(
            f"`model` must be an encoder; {model!r} is a {config.model_type}, which has a decoder besides. Take a "
            "model such as BERT, MiniLM, MPNet or XLM-R."
        )
    tokenizer = getattr(slow, "backend_tokenizer", None)
    if tokenizer is None:
        raise InvalidParameter(f"`model` must have a fast tokenizer (tokenizer.json); {model!r} has none.")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    own = _read_json(model, "sentence_bert_config.json") or {}
    told = own.get("max_seq_length") or slow.model_max_length
    most = min(int(told) if told < 10**6 else _UNSTATED, _positions(config))
    if most_tokens is not None and most_tokens > most:
        raise InvalidParameter(f"`most_tokens` must be at most {most}, all that {model!r} reads; got {most_tokens}.")
    return Recipe(
        config=_plain_config(config),
        tokenizer=tokenizer.to_str(),
        pooling=_stated_pooling(model) if pooling == "auto" else (pooling,),
        most_tokens=most_tokens or most,
        lower=bool(own.get("do_lower_case", False)),
        prompt=_prompt(model),
    )


def read_network(model: str) -> nn.Module:
    """The network with its weights, in single precision, in evaluation mode.

    Raises
    ------
    InvalidParameter
        There are no weights in the safetensors format, or not all.
    """
    transformers = needs("encoders.PretrainedText", "transformers", "text")
    folder = Path(model)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        raise InvalidParameter(
            f"`model` must hold its weights as safetensors; {model!r} has no such file. What torch.save wrote (.bin) "
            "can run code and is not read: load it with transformers where you trust it, and call "
            "save_pretrained(folder) there."
        )
    with _taught(model), _quiet(transformers):
        network, told = transformers.AutoModel.from_pretrained(
            model, **_access(model), use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise InvalidParameter(
            f"`model` must hold all weights of its network; {model!r} lacks {len(missing)}, such as {missing[0]!r}. "
            "Get the whole model."
        )
    return _without_pooler(network)


def blank_network(config: dict[str, Any]) -> nn.Module:
    """A network of this shape, for weights that are read from elsewhere."""
    transformers = needs("encoders.PretrainedText", "transformers", "text")
    known = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    return _without_pooler(transformers.AutoModel.from_config(known, dtype=torch.float32))


def _without_pooler(network: Any) -> nn.Module:
    """Its last layer makes what embeddings of sentences do not use."""
    if isinstance(getattr(network, "pooler", None), nn.Module):
        network.pooler = None
    module: nn.Module = network.eval()
    return module


def _access(model: str) -> dict[str, Any]:
    return {"local_files_only": Path(model).is_dir(), "trust_remote_code": False}


@contextmanager
def _taught(model: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        where = "the folder" if Path(model).is_dir() else "no folder here, so the hub was asked for it:"
        raise InvalidParameter(
            f"`model` must be the folder of a Hugging Face or sentence-transformers model, or its name on the hub; "
            f"{where} {model!r} cannot be read: {error}"
        ) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bar of loading; the switch is as it was afterwards."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _plain_config(config: Any) -> dict[str, Any]:
    """As JSON gives it back, without the path that it was read from."""
    plain: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    for name in ("_name_or_path", "auto_map", "dtype", "torch_dtype"):
        plain.pop(name, None)
    return plain


def _positions(config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or _UNSTATED
    # RoBERTa and its kin count positions from behind that of padding.
    behind = (config.pad_token_id or 0) + 1 if config.model_type in _COUNTED_FROM_PADDING else 0
    return int(positions) - behind


_COUNTED_FROM_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")


def _stated_pooling(model: str) -> tuple[str, ...]:
    """As ``modules.json`` of sentence-transformers says; the mean where there is none."""
    modules = _read_json(model, "modules.json")
    if modules is None:
        return ("mean",)
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds[:1] != ["Transformer"] or kinds[1:] not in (["Pooling"], ["Pooling", "Normalize"]):
        raise InvalidParameter(
            f"`model` must be made of Transformer, Pooling and Normalize, in that order, to be read as it says; "
            f"{model!r} is {kinds}. Give pooling='mean' to take its Transformer alone, or another model."
        )
    return _modes(model, _read_json(model, f"{modules[1]['path']}/config.json") or {})


def _modes(model: str, told: dict[str, Any]) -> tuple[str, ...]:
    if "pooling_mode" in told:
        named = told["pooling_mode"]
        named = [named] if isinstance(named, str) else list(named)
        found = [_NEW_NAMES.get(name, name) for name in named]
    else:
        wanted = [name for name, value in told.items() if name.startswith("pooling_mode_") and value]
        found = [mode for name, mode in _OLD_NAMES.items() if name in wanted]
        found += [name for name in wanted if name not in _OLD_NAMES]
    if not found or not set(found) <= set(POOLINGS):
        raise InvalidParameter(
            f"`model` must pool by some of {list(POOLINGS)}; {model!r} says {found}. Give one of these as pooling=."
        )
    return tuple(found)


def _prompt(model: str) -> str:
    told = _read_json(model, "config_sentence_transformers.json") or {}
    return str((told.get("prompts") or {}).get(told.get("default_prompt_name"), ""))


def _read_json(model: str, name: str) -> Any:
    """A file of the model, None where it has none."""
    if Path(model).is_dir():
        path = Path(model) / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    hub = needs("encoders.PretrainedText", "huggingface_hub", "text")
    try:
        return json.loads(Path(hub.hf_hub_download(model, name)).read_text(encoding="utf-8"))
    except hub.errors.EntryNotFoundError:
        return None
