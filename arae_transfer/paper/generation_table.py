"""The paper's first text experiment: generated sentences of ARAE and of simpler systems.

An adversarially regularized autoencoder, and a plain one of the same recipe, seed and number of updates. The plain one
is sampled as the paper does it, by a generator trained on its fixed codes, and by a Gaussian fitted to them. Beside
them stand a recurrent language model, and real text. Each system keeps the checkpoint that validation chose on held-out
sentences (the generators by reverse perplexity, as in the paper); what is measured is the test part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arae_transfer.atomic import write_text
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.evaluation.samples import SampleScores, measure_samples, render_samples, to_data
from arae_transfer.paper.diagnosis.coder import Coder, Floats
from arae_transfer.paper.recurrent_language_model import RecurrentLanguageModel
from arae_transfer.paper.transfer_table import AUTOENCODER, System, train_system, train_tokenizer
from arae_transfer.recipe import Recipe
from arae_transfer.training.checkpoint import LoadedRun, load_run
from arae_transfer.training.data import TrainingData
from arae_transfer.training.reporter import Reporter

ARAE = "arae"
ON_FIXED_CODES = "autoencoder-generator"
LANGUAGE_MODEL = "LSTM language model"
# Reverse perplexity as published (Zhao et al. 2018, SNLI), by their recurrent language model, on the whole of SNLI.
PUBLISHED = {"ARAE": 82.2, "autoencoder": 97.3, "LSTM language model": 90.6, "real text": 27.4}
MOST_EPOCHS = 40


@dataclass(frozen=True)
class GenerationRuns:
    """The folders of the runs.

    Attributes:
        arae: Adversarially regularized.
        autoencoder: Plain.
        on_fixed_codes: A generator on the plain one's codes.
    """

    arae: Path
    autoencoder: Path
    on_fixed_codes: Path


def train_generators(
    recipe: Recipe,
    data: TrainingData,
    folder: Path,
    make_reporter: Callable[[str], AbstractContextManager[Reporter]],
    *,
    device: str = "auto",
) -> GenerationRuns | None:
    """Train the ARAE model and the autoencoder, or continue an interrupted training.

    Args:
        recipe: The recipe of the adversarially regularized one.
        data: What they learn from.
        folder: Where the runs are kept.
        make_reporter: Returns who shows the run of that name.
        device: Where to train.

    Returns:
        The runs; None where one was interrupted.

    Raises:
        AraeError: The folder holds runs of another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = folder / "tokenizer.model"
    if not tokenizer.is_file():
        train_tokenizer(recipe, data).save(tokenizer)
    seed = recipe.training.seed
    regularized = System(ARAE, True, 0.0).recipe(recipe, seed, tokenizer.absolute())
    plain = System(AUTOENCODER, False, 0.0).recipe(recipe, seed, tokenizer.absolute())
    # Encoder and decoder stand still, so that the same loop trains generator and critic on fixed codes.
    fixed = replace(regularized, training=replace(regularized.training, learning_rate=0.0, reconstruction=0.0))
    runs = GenerationRuns(folder / ARAE, folder / AUTOENCODER, folder / ON_FIXED_CODES)
    for own, run, initial in (
        (regularized, runs.arae, None),
        (plain, runs.autoencoder, None),
        (fixed, runs.on_fixed_codes, runs.autoencoder.absolute()),
    ):
        if not train_system(own, data, run, lambda run=run: make_reporter(run.name), initial, device):  # type: ignore[misc]
            return None
    return runs


def sample_generator(run: LoadedRun, number: int, seed: int) -> list[str]:
    """Return sentences decoded from generated codes."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(number, run.recipe.adversary.noise_size, generator=random)
    with torch.no_grad():
        codes: Floats = run.model.generator(noise, torch.ones(number, 1, dtype=torch.bool))[:, 0].double().numpy()
    return Coder(run).write(codes, run.classes[0])


def sample_gaussian(run: LoadedRun, lines: Sequence[str], number: int, seed: int) -> list[str]:
    """Return sentences decoded from a Gaussian fitted to the codes of lines, projected to the sphere."""
    coder = Coder(run)
    codes = coder.pooled(lines)  # (lines, size)
    random = np.random.default_rng(seed)
    drawn = random.multivariate_normal(codes.mean(0), np.cov(codes, rowvar=False), number, method="eigh")
    return coder.write(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), run.classes[0])


def sample_systems(
    runs: GenerationRuns,
    data: TrainingData,
    number: int,
    folder: Path,
    progress: Callable[[str], None] = lambda message: None,
) -> dict[str, list[str]]:
    """Sample from every system, and write each one's samples to ``samples/NAME.txt``.

    Args:
        runs: The trained systems.
        data: What they learned from.
        number: How many samples each writes.
        folder: Where the files go.
        progress: Called with what is being done.
    """
    regularized, plain, fixed = (load_run(run, "best") for run in (runs.arae, runs.autoencoder, runs.on_fixed_codes))
    coder, seed = Coder(regularized), regularized.recipe.training.seed
    train, valid = (
        [line for own in lines.values() for line in own if coder.fits(line)] for lines in (data.train, data.valid)
    )
    encoded = [TokenizedSentences.join(plain.tokenizer.encode_lines(lines)) for lines in (train, valid)]
    language_model = RecurrentLanguageModel(regularized.recipe, plain.tokenizer, *encoded)
    progress("training the language model")
    language_model.train(MOST_EPOCHS, progress)
    ways: dict[str, Callable[[], list[str]]] = {
        "ARAE: generator": lambda: sample_generator(regularized, number, seed),
        "ARAE: Gaussian fitted to its codes": lambda: sample_gaussian(regularized, train, number, seed),
        "autoencoder: generator trained on its codes": lambda: sample_generator(fixed, number, seed),
        "autoencoder: Gaussian fitted to its codes": lambda: sample_gaussian(plain, train, number, seed),
        LANGUAGE_MODEL: lambda: language_model.sample(number, seed),
    }
    samples = {}
    for name, draw in ways.items():
        progress(f"{number:,} samples of {name}")
        samples[name] = draw()
        file = "-".join(name.replace(":", "").lower().split())
        write_text(folder / "samples" / f"{file}.txt", "".join(f"{line}\n" for line in samples[name]))
    return samples


def measure_generators(
    samples: Mapping[str, Sequence[str]],
    coder: Coder,
    data: TrainingData,
    test: Sequence[str],
    folder: Path,
    trainings: Mapping[str, Any],
) -> str:
    """Measure samples, write the numbers into ``table.json``, and return the table as Markdown.

    Sentences too long for the models are left out of the training text and of the test, as they were in training.
    """
    training = [line for own in data.train.values() for line in own if coder.fits(line)]
    held_out = [line for line in test if coder.fits(line)]
    scores: dict[str, SampleScores] = measure_samples(samples, training, held_out)
    table = {"trainings": dict(trainings), "training": len(training), "test": len(held_out), "scores": to_data(scores)}
    write_text(folder / "table.json", json.dumps(table, ensure_ascii=False, indent=1) + "\n")
    notes = (
        "Perplexities per word, ends included, of 5-gram models (modified Kneser-Ney) with the vocabulary of the "
        "training text, 95 % intervals by resampling the sentences that are scored; "
        f"{len(training):,} training sentences, {len(held_out):,} of the test. Samples are decoded greedily, the "
        "language model's are drawn. The published ones are by a recurrent model on the whole of SNLI."
    )
    told = "; ".join(f"{name}: {text}" for name, text in trainings.items())
    return f"{render_samples(scores, PUBLISHED)}\n{notes}\n\nTrained: {told}.\n"


def describe(run: Path, data: TrainingData) -> str:
    """Return a description of a training's extent."""
    loaded = load_run(run, "latest")
    seen = loaded.state.step * loaded.recipe.training.batch_size
    epochs = seen / max(1, sum(map(len, data.train.values())))
    return (
        f"{seen:,} sentences ({epochs:.1f} epochs), {loaded.state.minutes:.1f} minutes, best at step "
        f"{loaded.state.best_step:,} of {loaded.state.step:,}"
    )
