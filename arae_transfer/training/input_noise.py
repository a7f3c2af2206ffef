"""Add noise to the encoder's input, and keep the target (denoising autoencoder, Vincent et al. 2008)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arae_transfer.corpus.batches import IntegerArray
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.recipe import InputNoise
from arae_transfer.tokenizer import PAD_ID


def add_input_noise(
    tokens: IntegerArray,
    lengths: IntegerArray,
    classes: IntegerArray,
    noise: InputNoise,
    style: StyleTokens | None,
    generator: np.random.Generator,
) -> tuple[IntegerArray, IntegerArray]:
    """Drop, replace and shuffle tokens.

    Dropping makes similar codes mean similar sentences (Shen et al. 2020). Dropping style-bearing tokens in particular,
    or replacing them by another class's, teaches a decoder to add its own style to its input, as a rewrite requires.

    Args:
        tokens: (batch, time) ids without end ids, padded at the right.
        lengths: (batch,).
        classes: (batch,) class indices.
        noise: The probabilities of the recipe.
        style: The style-bearing tokens, needed when ``noise.style_share`` > 0.
        generator: The source of randomness.

    Returns:
        New tokens (batch, shorter or equal time) and lengths; each row keeps at least one token.
    """
    if noise.drop == 0 and noise.style_share == 0 and noise.shuffle == 0:
        return tokens, lengths
    batch, time = tokens.shape
    columns = np.arange(time)  # (time,)
    real = columns < lengths[:, None]  # (batch, time)
    keep = real & (generator.random((batch, time)) >= noise.drop)
    if noise.style_share > 0 and style is not None:
        chosen: npt.NDArray[np.bool_] = generator.random((batch,)) < noise.style_share
        strength = style.strength[classes[:, None], tokens] * (real & chosen[:, None])  # (batch, time)
        fate = generator.random((batch, time))
        dropped = fate < noise.style_drop * strength
        replaced = ~dropped & (fate < (noise.style_drop + noise.style_replace) * strength)
        keep &= ~dropped
        rows, places_in_rows = np.nonzero(replaced)
        if len(rows):
            # One other class per sentence, so that a damaged sentence is consistently of another style.
            number = style.strength.shape[0]
            other = (classes + generator.integers(1, number, batch)) % number  # (batch,)
            tokens = tokens.copy()
            tokens[rows, places_in_rows] = style.draw(other[rows], generator.random(len(rows)))
    empty = ~keep.any(1)
    if empty.any():
        survivors = generator.integers(0, lengths[empty])
        keep[np.flatnonzero(empty), survivors] = True
    places = np.where(keep, columns.astype(np.float64), np.inf)
    if noise.shuffle > 0:
        places = places + generator.random((batch, time)) * (noise.shuffle + 1)
    order = np.argsort(places, axis=1, kind="stable")
    new_lengths = keep.sum(1)
    shuffled = np.take_along_axis(tokens, order, axis=1)
    shuffled = np.where(columns < new_lengths[:, None], shuffled, PAD_ID)
    return shuffled[:, : int(new_lengths.max())], new_lengths
