"""Initialize a Transformer encoder with the weights of a BERT of the same size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded
from arae_transfer.model.transformer import TransformerEncoder, TransformerLayer
from arae_transfer.tokenizer import END_ID, PAD_ID

_REMEDY = "name a folder with the model.safetensors and the vocab.txt of a BERT, or leave model.pretrained empty."
_BLANK = "\u2581"
# What stands for words of a corpus's form that ordinary text does not have.
_ORDINARY = {"n't": "not", "``": '"', "''": '"', "_num_": "7"}


def load_pretrained(encoder: TransformerEncoder, folder: str, pieces: Sequence[str]) -> str:
    """Load a BERT's first layers, and the mean of its WordPiece embeddings for each token.

    Args:
        encoder: The encoder; its weights are replaced.
        folder: The folder of ``model.safetensors`` and ``vocab.txt``.
        pieces: The pieces of the tokenizer, in the order of their ids.

    Returns:
        What was done, in a sentence.

    Raises:
        AraeError: A file is missing or damaged, or the sizes differ.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    root = expanded(folder)
    try:
        words = (root / "vocab.txt").read_text("utf-8").splitlines()
        tensors = load_file(root / "model.safetensors")
    except (OSError, UnicodeDecodeError, SafetensorError) as error:
        raise AraeError(f"cannot read the pretrained weights in {root}: {error}", _REMEDY) from error
    tensors = {name.removeprefix("bert."): tensor.float() for name, tensor in tensors.items()}
    try:
        _copy(encoder, tensors, {word: number for number, word in enumerate(words)}, pieces)
    except (KeyError, RuntimeError) as error:
        size = encoder.embedding.embedding_dim
        raise AraeError(
            f"{root} does not fit the encoder, which has {len(encoder.layers)} layers of {size}: {error}", _REMEDY
        ) from error
    return f"initialized the encoder with the first {len(encoder.layers)} layers of {root.name}"


@torch.no_grad()
def _copy(
    encoder: TransformerEncoder, tensors: Mapping[str, Tensor], ids: Mapping[str, int], pieces: Sequence[str]
) -> None:
    table = tensors["embeddings.word_embeddings.weight"]  # (word pieces, size)
    for number, piece in enumerate(pieces):
        found = _word_pieces(piece, ids)
        if number == END_ID:
            found = [ids["[SEP]"]]
        encoder.embedding.weight[number].copy_(table[found].mean(0))
    encoder.embedding.weight[PAD_ID] = 0.0
    # One kind of segment; position 0 is that of a mark that begins a text there.
    positions = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    if len(positions) < len(encoder.positions):
        raise RuntimeError(f"it reads {len(positions)} positions, not {len(encoder.positions)}")
    encoder.positions.copy_(positions[: len(encoder.positions)])
    _copy_layer(encoder.embedding_norm, tensors, "embeddings.LayerNorm")
    for number, layer in enumerate(encoder.layers):
        assert isinstance(layer, TransformerLayer)
        prefix = f"encoder.layer.{number}"
        for part in ("weight", "bias"):
            own = [tensors[f"{prefix}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            getattr(layer.inputs, part).copy_(torch.cat(own))
        for module, name in (
            (layer.attended, "attention.output.dense"),
            (layer.attention_norm, "attention.output.LayerNorm"),
            (layer.inner, "intermediate.dense"),
            (layer.outer, "output.dense"),
            (layer.output_norm, "output.LayerNorm"),
        ):
            _copy_layer(module, tensors, f"{prefix}.{name}")


def _copy_layer(module: torch.nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    for part in ("weight", "bias"):
        getattr(module, part).copy_(tensors[f"{name}.{part}"])


def _word_pieces(piece: str, ids: Mapping[str, int]) -> list[int]:
    """Return the WordPiece ids of a token, by longest match first (Wu et al. 2016)."""
    text, prefix = (piece[1:], "") if piece.startswith(_BLANK) else (piece, "##")
    text = _ORDINARY.get(text, text).lower()
    found: list[int] = []
    while text:
        length = next((length for length in range(len(text), 0, -1) if prefix + text[:length] in ids), 0)
        if not length:
            return [ids["[UNK]"]]
        found.append(ids[prefix + text[:length]])
        text, prefix = text[length:], "##"
    return found or [ids["[UNK]"]]
