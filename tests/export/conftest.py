"""Tiny models with random weights, whose rewrites differ from row to row and end at different lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.tokenizer import END_ID, MINIMUM_VOCABULARY, PAD_ID, Tokenizer

MAXIMUM_LENGTH = 12


def random_recipe(**model: Any) -> Recipe:
    """Return a recipe of a tiny model."""
    sizes = {"code_size": 12, "embedding_size": 14, "hidden_size": 16}
    return recipe_from_table({"name": "tiny", "model": sizes | model, "data": {"maximum_tokens": MAXIMUM_LENGTH}})


def random_model(recipe: Recipe, classes: tuple[str, ...], vocabulary_size: int, silent: Sequence[int] = ()) -> ARAE:
    """Return a model with weights so large that it answers every row in its own way, and ends at many lengths.

    Args:
        recipe: The recipe.
        classes: The classes.
        vocabulary_size: The number of ids.
        silent: Ids that it never writes.
    """
    torch.manual_seed(7)
    model = ARAE(recipe, classes, vocabulary_size).eval()
    with torch.no_grad():
        for parameter in model.autoencoder_parameters():
            # Wide weights and narrow biases: what is written depends on the code and on what was written before.
            parameter.normal_(0.0, 5.0 * parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3)
        model.encoder.embedding.weight[PAD_ID] = 0.0
        for decoder in map(model.decoder, range(len(classes))):
            decoder.embedding.weight[PAD_ID] = 0.0
            # The mean of many unit vectors is short.
            decoder.first.get_parameter("weight_ih_l0")[:, recipe.model.embedding_size :] *= 4.0
            if decoder.nearness is not None:
                decoder.nearness.normal_(0.0, 2.0)
        model.decoder(0).output.bias[silent] = -1e4  # the output layer is one for all classes
        # A random output layer almost never chooses the end id: give it a bias that wins at one step in six. Its
        # logit is that bias alone, so that it suits every class.
        model.decoder(0).output.weight[END_ID] = 0.0
        tokens = torch.randint(END_ID + 1, vocabulary_size, (64, MAXIMUM_LENGTH))
        code, mask = model.encoder(tokens, torch.full((64,), MAXIMUM_LENGTH))
        lacking = []
        for decoder in map(model.decoder, range(len(classes))):
            decoder.output.bias[END_ID] = -1e4
            rows = decoder.greedy(code, mask, MAXIMUM_LENGTH)
            logits = decoder.output(decoder.features(rows, code, mask))  # (batch, steps, vocabulary)
            lacking.append(logits[:, :, END_ID + 1 :].amax(2).flatten())
        model.decoder(0).output.bias[END_ID] = torch.cat(lacking).quantile(1 / 6)
    return model


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """Sentences for a small tokenizer."""
    subjects = ["the soup", "our waiter", "the room", "my coffee", "this place"]
    verbs = ["was", "is", "seemed", "looked"]
    ends = ["cold", "delicious", "rude", "friendly", "clean", "dirty", "cheap"]
    return [f"{subject} {verb} {end} ." for subject in subjects for verb in verbs for end in ends]


@pytest.fixture(scope="session")
def tokenizer(lines: list[str]) -> Tokenizer:
    """A tokenizer trained on the sentences."""
    return Tokenizer.train(lines, 300, threads=1)


@pytest.fixture
def make_model(tokenizer: Tokenizer) -> Callable[..., tuple[ARAE, Recipe]]:
    """Make a model of the tokenizer's vocabulary, and its recipe."""

    def make(classes: tuple[str, ...] = ("bad", "good"), **model: Any) -> tuple[ARAE, Recipe]:
        recipe = random_recipe(**{"code": "sequence", "shared_embeddings": True, "decoder_layers": 2} | model)
        # Single bytes would rarely make a text.
        bytes_alone = range(END_ID + 1, MINIMUM_VOCABULARY - 1)
        return random_model(recipe, classes, tokenizer.vocabulary_size, bytes_alone), recipe

    return make
