"""The speed of training: the reference step is the same algorithm, and the figures are those of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from arae_transfer.bench import training
from arae_transfer.bench.operations import count_networks, count_sentence
from arae_transfer.bench.reference import reference_optimizers, reference_step
from arae_transfer.bench.training import TrainingSpeed, matrix_product_rate, measure_training
from arae_transfer.cli import app
from arae_transfer.cli.bench_train import describe
from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.training.batch import Batch, make_batch
from arae_transfer.training.data import TrainingData
from arae_transfer.training.networks import Networks
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.schedules import alternating_step

CPU = torch.device("cpu")
CLASSES = ("bad", "good", "so-so")
VOCABULARY = 60


def recipe(**sections: dict[str, Any]) -> Recipe:
    table: dict[str, Any] = {
        "data": {"maximum_tokens": 12},
        "tokenizer": {"vocabulary_size": 400},
        "model": {"code_size": 8, "embedding_size": 6, "hidden_size": 8, "code_noise": 0.1},
        "adversary": {"noise_size": 4, "generator_layers": [8], "critic_layers": [8], "critic_updates": 3},
        "attribute": {"layers": [8], "learning_rate": 1e-2},
        "training": {"learning_rate": 0.5, "batch_size": 8},
    }
    for name, changes in sections.items():
        table[name] = table.get(name, {}) | changes
    return recipe_from_table(table)


class Draws:
    """Batches of random sentences of one to ten tokens, the same for each of these."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(8)
        lengths = [self._generator.integers(1, 11, 40) for _ in CLASSES]
        self._corpora = [
            TokenizedSentences.join([self._generator.integers(5, VOCABULARY, length).tolist() for length in own])
            for own in lengths
        ]

    def __call__(self) -> Batch:
        chosen = [self._generator.integers(0, 40, 30) for _ in CLASSES]
        return make_batch(self._corpora, chosen, recipe().noise, None, self._generator, CPU)


def moved(step: Any, optimizers: Any, chosen: Recipe) -> tuple[list[Tensor], dict[str, float]]:
    torch.manual_seed(4)
    model = ARAE(chosen, CLASSES, VOCABULARY)
    networks = Networks(model, chosen, optimizers(model, chosen), CPU)
    model.scorer.dropout.p = 0.0
    draw = Draws()
    for _ in range(2):
        metrics = step(networks, draw(), draw)
    return [parameter.detach() for parameter in model.parameters()], metrics


@pytest.mark.parametrize("constraint", ["clip", "gradient-penalty"])
def test_the_reference_moves_every_weight_as_the_alternating_schedule_does(constraint: str) -> None:
    chosen = recipe(adversary={"constraint": constraint})
    ours, metrics = moved(alternating_step, Optimizers.build, chosen)
    theirs, reference = moved(reference_step, reference_optimizers, chosen)
    start = [parameter.detach() for parameter in untrained(chosen)]
    assert all(not torch.equal(mine, before) for mine, before in zip(ours, start, strict=True) if mine.numel() > 8)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-5)
    for name, value in reference.items():
        assert metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5)


def untrained(chosen: Recipe) -> list[Tensor]:
    torch.manual_seed(4)
    return list(ARAE(chosen, CLASSES, VOCABULARY).parameters())


def test_batches_encoded_together_get_the_codes_that_each_gets_alone() -> None:
    chosen = recipe()
    model = ARAE(chosen, CLASSES, VOCABULARY)
    networks = Networks(model, chosen, Optimizers.build(model, chosen), CPU)
    draw = Draws()
    batches = [draw(), draw()]
    together = networks.encode_together(batches)
    for batch, (code, mask) in zip(batches, together, strict=True):
        alone, alone_mask = networks.encode(batch.tokens, batch.lengths)
        torch.testing.assert_close(code, alone)
        assert torch.equal(mask, alone_mask)


# --- operations


def test_operations_of_the_papers_model_by_hand() -> None:
    """LSTM: four gates of input and state; output: hidden times vocabulary; two operations a product."""
    table = {"model": {"code_size": 128, "embedding_size": 128, "hidden_size": 128}}
    networks = count_networks(recipe_from_table(table), 9000, 2, 10.0)
    assert networks.encoder == 2 * 4 * 128 * 256
    assert networks.decoder == 2 * 4 * 128 * (128 + 128 + 128)
    assert networks.output == 2 * 128 * 9000
    assert networks.critic == 2 * (128 * 128 + 128 * 128 + 128)
    assert networks.classifier == 2 * (128 * 128 + 128 * 128 + 128 * 2)
    assert networks.generator == 2 * (32 * 128 + 128 * 128 + 128 * 128)


def test_counted_networks_are_those_with_a_weight() -> None:
    every = count_sentence(recipe(), 100, 3, 7.0)
    assert {"critic", "generator", "classifier"} <= set(every)
    plain = count_sentence(recipe(adversary={"weight": 0.0}, attribute={"weight": 0.0}), 100, 3, 7.0)
    assert set(plain) == {"encoder and decoders", "style scorer"}
    assert plain["encoder and decoders"] == every["encoder and decoders"]
    more = count_sentence(recipe(adversary={"critic_updates": 6}), 100, 3, 7.0)
    assert more["critic"] == 2 * every["critic"]
    half = count_sentence(recipe(adversary={"batch_size": 4}), 100, 3, 7.0)
    for network in ("critic", "generator", "encoder against critic"):
        assert half[network] == every[network] / 2
    assert half["classifier"] == every["classifier"]


def test_parameters_and_operations_agree() -> None:
    """A forward pass of a layer costs two operations for each of its weights."""
    chosen = recipe()
    model = ARAE(chosen, CLASSES, VOCABULARY)
    counted = count_networks(chosen, VOCABULARY, len(CLASSES), 5.0)

    def weights(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() == 2)

    assert counted.critic == 2 * weights(model.critic)
    assert counted.generator == 2 * weights(model.generator)
    assert counted.classifier == 2 * weights(model.classifier)
    assert counted.encoder == 2 * sum(weights(layer) for layer in model.encoder.forward_layers)
    assert counted.decoder == 2 * weights(model.decoder(0).first)
    assert counted.output == 2 * weights(model.decoder(0).output)
    assert counted.scorer == 2 * sum(weights(window) for window in model.scorer.windows)


# --- the measurement


def test_the_machines_rate_is_a_rate() -> None:
    rate = matrix_product_rate(CPU, torch.float32, seconds=0.05)
    assert rate is not None
    assert 1e8 < rate < 1e15


@pytest.fixture(scope="module")
def speed() -> Iterator[TrainingSpeed]:
    """Return a measurement, beside the reference and the released code; matrices are small, which is quick in bf16."""
    sentences = make_sentences()
    data = TrainingData({name: lines[:200] for name, lines in sentences["train"].items()}, sentences["valid"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "MATRIX_SIZE", 256)
        yield measure_training(recipe(data={"maximum_tokens": 40}), data, device="cpu", steps=2)


def test_a_measurement_holds_together(speed: TrainingSpeed) -> None:
    assert speed.sentences_per_step == 16
    assert speed.sentences_per_second > 0
    assert speed.reference_ratio is not None and speed.reference_ratio > 0
    assert speed.released_ratio is not None and speed.released_ratio > 0
    expected = speed.sentences_per_second * sum(speed.operations_per_sentence.values()) / speed.fp32_rate
    assert speed.share_of_ceiling == pytest.approx(expected)
    assert 0 < speed.share_of_ceiling < 1
    assert set(speed.operations_per_sentence) | {"batches and the rest"} == set(speed.network_milliseconds)
    assert all(value > 0 for value in speed.network_milliseconds.values())
    assert 4 < speed.mean_tokens < 41


def test_a_person_reads_all_figures(speed: TrainingSpeed) -> None:
    told = "\n".join(describe(speed))
    assert f"{speed.sentences_per_second:,.0f} sentences/s" in told
    assert f"a plain PyTorch step takes {speed.reference_ratio:.2f} times" in told
    assert f"the authors' released code takes {speed.released_ratio:.2f} times" in told


def test_the_command_writes_json_or_lines(speed: TrainingSpeed) -> None:
    settings = ["tokenizer.vocabulary_size=400", "training.batch_size=2", "data.maximum_tokens=40"]
    settings += ["model.code_size=16", "model.embedding_size=16", "model.hidden_size=16"]
    arguments = ["bench", "train", "--steps", "1", "--device", "cpu", "--threads", "1"]
    arguments += [word for setting in settings for word in ("--set", setting)]
    done = CliRunner().invoke(app, [*arguments, "--no-reference", "--json"])
    assert done.exit_code == 0, done.output
    table = json.loads(done.stdout)
    assert table["recipe"] == "yelp-sentiment-paper"
    assert table["sentences_per_step"] == 4
    assert table["threads"] == 1
    assert table["reference_ratio"] is table["released_ratio"] is None
    assert table.keys() == speed.table().keys()
    done = CliRunner().invoke(app, arguments)
    assert "sentences/s" in done.stdout
    assert "a plain PyTorch step takes" in done.stdout
    assert "the authors' released code takes" in done.stdout
