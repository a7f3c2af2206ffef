"""Every recipe of the project reads, and trains two steps from end to end."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arae_transfer.corpus.labelled import Examples, LabelledData
from arae_transfer.corpus.reading import LabelledLines
from arae_transfer.evaluation.edited import Editor
from arae_transfer.folders import list_recipes, recipes_directory
from arae_transfer.layout import RunLayout
from arae_transfer.paper.images.image_data import ImageData
from arae_transfer.paper.images.image_files import Images
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.recipe import Recipe, load_recipe, recipe_keys
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.data import TrainingData
from arae_transfer.training.loop import Trainer
from arae_transfer.training.reporter import SilentReporter

RECIPES = sorted(recipes_directory().rglob("*.toml"))

# Sizes alone, so that what makes the recipe what it is stays in force.
SMALL = [
    "tokenizer.vocabulary_size=300",
    "tokenizer.model=",
    "model.code_size=16",
    "model.embedding_size=16",
    "model.hidden_size=16",
    "model.attention_heads=4",
    "model.inner_size=16",
    "adversary.generator_layers=[8]",
    "adversary.critic_layers=[8]",
    "attribute.layers=[8]",
    "image.height=6",
    "image.width=5",
    "image.encoder_layers=[8]",
    "image.decoder_layers=[8]",
    "training.batch_size=4",
    "validation.sentences=3",
]


def small(path: Path, steps: int = 2) -> Recipe:
    given = load_recipe(path)
    one = given.task not in ("rewriting", "editing") or given.data.kind == "image"
    classes = 1 if one else len(given.data.classes) or 3
    settings = [*SMALL, f"training.sentences={steps * classes * 4}", "cycle.start=0.0"]
    if given.parallel.sentences:
        settings.append("parallel.sentences=40")
    if given.training.sampled_softmax:
        settings.append("training.sampled_softmax=60")
    return load_recipe(path, settings)


def corpus(recipe: Recipe) -> TrainingData | ImageData:
    if recipe.data.kind == "image":
        shape = (40, recipe.image.height * recipe.image.width)
        values = np.random.default_rng(1).integers(0, recipe.image.levels, shape).astype(np.uint8)
        return ImageData({"images": Images(values[:30])}, {"images": Images(values[30:])})
    classes = recipe.data.classes or (("text",) if recipe.task == "generation" else ("one", "two", "three"))
    things = ("food", "soup", "staff", "room", "place", "price")
    lines = {
        label: [
            f"the {thing} was {'very ' * times}{word} {end}"
            for thing in things
            for times in range(3)
            for word, end in ((f"w{index}", "."), (f"v{index}", "!"))
        ]
        * 5  # often enough for a phrase to count
        for index, label in enumerate(classes)
    }
    found = TrainingData(lines, {label: texts[::7] for label, texts in lines.items()})
    if not recipe.quality.layers:
        return found
    first, second = classes[:2]
    rewrites = [line.replace("w0", "w1").replace("v0", "v1") for line in lines[first]]
    pairs = (
        ParallelExample(first, line, second, rewrite) for line, rewrite in zip(lines[first], rewrites, strict=True)
    )
    return replace(found, pairs=tuple(pairs))


def make_trainer(recipe: Recipe, run: Path) -> Trainer:
    data = corpus(recipe)
    if recipe.task != "classification" or isinstance(data, ImageData):
        first = None
        if recipe.self_training.rewrites:  # by the model of an earlier run
            first = run.with_name("first")
            alone = replace(recipe, self_training=replace(recipe.self_training, rewrites=0))
            Trainer(alone, data, first, SilentReporter(), device="cpu").train()
        return Trainer(recipe, data, run, SilentReporter(), device="cpu", initial=first)
    train, valid = (examples(lines, recipe.labels.sentence_pairs) for lines in (data.train, data.valid))
    labelled = LabelledData(tuple(data.train), train, valid, ["the soup was cold ."])
    return Trainer(recipe, labelled, run, SilentReporter(), device="cpu")


def examples(lines: LabelledLines, pairs: bool) -> Examples:
    texts = [text for own in lines.values() for text in own]
    return Examples((texts, texts[::-1]) if pairs else (texts,), [label for label, own in lines.items() for _ in own])


def test_there_are_recipes() -> None:
    assert {"quickstart", "yelp-sentiment", "yelp-sentiment/paper"} <= set(list_recipes())
    assert sorted(list_recipes().values()) == RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=[str(path.relative_to(recipes_directory())) for path in RECIPES])
def test_a_recipe_trains_from_end_to_end(path: Path, tmp_path: Path) -> None:
    recipe = small(path)
    tmp_path /= "run"
    outcome = make_trainer(recipe, tmp_path).train()
    assert outcome.finished
    assert outcome.state.step == 2
    records = [json.loads(line) for line in RunLayout(tmp_path).metrics.read_text("utf-8").splitlines()]
    assert all(math.isfinite(value) for record in records for value in record.values())
    loaded = load_run(tmp_path, "best")
    assert loaded.recipe == recipe
    if recipe.data.kind == "image":
        assert RunLayout(tmp_path).sample_picture(2).read_bytes().startswith(b"\x89PNG")
        return
    if recipe.task == "editing":
        assert len(Editor(loaded).reconstruct(["the food was very"] * 2, loaded.classes)) == 2
        return
    tokens = torch.tensor([[*loaded.tokenizer.encode("the food was very"), 3]])
    for index in range(len(loaded.model.decoders)):
        assert loaded.model.rewrite(tokens, torch.tensor([tokens.size(1)]), index, 6).size(1) <= 6


@pytest.mark.parametrize("path", RECIPES, ids=[str(path.relative_to(recipes_directory())) for path in RECIPES])
def test_a_recipe_names_its_purpose_and_its_data(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.description.endswith(".")
    assert recipe.data_source.endswith(".")


# Who sets the keys that no recipe does.
SET_BY = {
    "adversary.beta1": "whoever repeats the paper's other experiments",
    "cycle.extra_tokens": "whoever trains by a cycle on text that grows when it is rewritten",
    "data.encoding": "whoever has text that is not UTF-8, mostly by --encoding",
    "data.keep_near_duplicates": "whoever continues a run of before",
    "data.maximum_characters": "whoever has longer lines, or wants none of them",
    "editing.held_out": "whoever has many examples, or few",
    "editing.plain_damage": "whoever has few examples",
    "editing.style_damage": "whoever has few examples",
    "image.held_out": "whoever has images without a validation file",
    "labels.batch_size": "whoever trains a classification in less memory",
    "labels.number": "arae semi-supervised",
    "labels.share": "whoever has labels for some sentences",
    "model.pretrained": "whoever has the weights of a BERT",
    "parallel.folds": "whoever mines a small corpus",
    "parallel.known_sentences": "whoever mines in less memory",
    "parallel.language_model_order": "whoever mines a small corpus",
    "parallel.maximum_words": "whoever mines in less memory",
    "parallel.minimum_word_count": "whoever mines a small corpus",
    "quality.ratings_weight": "whoever has many ratings, or few",
    "tokenizer.model": "whoever has a SentencePiece model",
    "training.tokens_at_once": "whoever trains in less memory",
    "validation.checkpoint_minutes": "whoever trains where power fails",
}


# Sections of constants that mining found for English; whoever mines another language may need others.
TUNED = ("phrase_table.", "phrase_search.", "rewrite_scores.", "self_training.")


def test_each_key_is_set_by_a_recipe_or_by_somebody() -> None:
    tables = [tomllib.loads(path.read_text("utf-8")) for path in RECIPES]
    top = {key for table in tables for key, value in table.items() if not isinstance(value, dict)}
    inner = {
        f"{section}.{key}"
        for table in tables
        for section, keys in table.items()
        if isinstance(keys, dict)
        for key in keys
    }
    unset = {key for key in set(recipe_keys()) - top - inner - {"name"} if not key.startswith(TUNED)}
    assert unset == set(SET_BY)


def test_recipes_have_names_of_their_own() -> None:
    names = [load_recipe(path).name for path in RECIPES]
    assert len(set(names)) == len(names)


def test_the_fast_recipe_is_the_papers_but_for_four_keys() -> None:
    folder = recipes_directory() / "yelp-sentiment"
    settings = ["training.sampled_softmax=2000", "training.precision=fast", "training.scorer_every=5"]
    settings.append("adversary.batch_size=32")
    plain, fast = load_recipe(folder / "paper.toml", settings), load_recipe(folder / "paper-fast.toml")
    assert fast.adversary.batch_size * 2 == fast.training.batch_size
    assert replace(plain, name=fast.name, description=fast.description) == fast


# The arguments of the authors' text-transfer model with their defaults (``yelp/train.py``, Zhao et al. 2018), and the
# keys that say the same.
AUTHORS = {
    "arch_classify": ("attribute.layers", "128-128"),
    "arch_d": ("adversary.critic_layers", "128-128"),
    "arch_g": ("adversary.generator_layers", "128-128"),
    "batch_size": ("training.batch_size", 64),
    "beta1": ("adversary.beta1", 0.5),
    "clip": ("training.gradient_clip", 1.0),
    "emsize": ("model.embedding_size", 128),
    "lambda_class": ("attribute.weight", 1.0),
    "lr_ae": ("training.learning_rate", 1.0),
    "lr_classify": ("attribute.learning_rate", 1e-4),
    "lr_gan_d": ("adversary.learning_rate", 1e-4),
    "nhidden": ("model.hidden_size", 128),
    "niters_gan_d": ("adversary.critic_updates", 5),
    "noise_anneal": ("model.code_noise_decay", 0.9995),
    "noise_r": ("model.code_noise", 0.1),
    "z_size": ("adversary.noise_size", 32),
}


def test_the_papers_recipe_is_the_authors_defaults() -> None:
    recipe = load_recipe(recipes_directory() / "yelp-sentiment" / "paper.toml")
    for argument, (key, default) in AUTHORS.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        assert ("-".join(map(str, value)) if isinstance(value, tuple) else value) == default, argument
    # What has no argument there: one LSTM layer each, a single code as large as its state, and plain SGD in turns.
    model, training = recipe.model, recipe.training
    assert (model.code, model.code_size, model.bidirectional) == ("single", model.hidden_size, False)
    assert (model.encoder_layers, model.decoder_layers) == (1, 1)
    assert (training.schedule, training.optimizer, training.initialization) == ("alternating", "sgd", "uniform")
    assert recipe.cycle.weight == 0.0
    assert not any((recipe.noise.drop, recipe.noise.shuffle, recipe.noise.style_share))
