"""In which order the networks move, how often, and on what."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from arae_transfer.corpus.batches import BatchSchedule, TokenizedSentences
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import recipe_from_table
from arae_transfer.tokenizer import END_ID, PAD_ID
from arae_transfer.training.batch import Batch, make_batch
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.schedules import alternating_step, joint_step

CLASSES = ("bad", "good", "so-so")
VOCABULARY = 50
ROWS = 4
CPU = torch.device("cpu")


class CountingNetworks(Networks):
    """Networks that note what they are asked to do, and then do it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.moves: list[str] = []
        self.seen: dict[str, list[Tensor]] = {}

    def update_autoencoder(self, loss: Tensor) -> float:
        self.moves.append("autoencoder")
        return super().update_autoencoder(loss)

    def update_critic(self, real: Tensor, mask: Tensor) -> Metrics:
        self.moves.append("critic")
        self.seen.setdefault("critic", []).append(real.detach().clone())
        return super().update_critic(real, mask)

    def update_generator(self, mask: Tensor) -> Metrics:
        self.moves.append("generator")
        return super().update_generator(mask)

    def update_classifier(self, code: Tensor, mask: Tensor, classes: Tensor) -> Metrics:
        self.moves.append("classifier")
        self.seen.setdefault("classifier", []).append(classes)
        return super().update_classifier(code, mask, classes)

    def update_scorer(self, batch: Batch) -> Metrics:
        self.moves.append("scorer")
        return super().update_scorer(batch)

    def adversarial_term(self, code: Tensor, mask: Tensor) -> Tensor:
        self.seen.setdefault("adversarial", []).append(code.detach().clone())
        return super().adversarial_term(code, mask)


def build(**sections: dict[str, Any]) -> CountingNetworks:
    table: dict[str, Any] = {
        "data": {"maximum_tokens": 10},
        "model": {"code_size": 8, "embedding_size": 8, "hidden_size": 8, "code_noise": 0.0},
        "adversary": {"noise_size": 4, "generator_layers": [8], "critic_layers": [8], "critic_updates": 5},
        "attribute": {"layers": [8]},
        "training": {"learning_rate": 0.1, "gradient_clip": 1e9, "schedule": "joint"},
    }
    for name, changes in sections.items():
        table[name] = table.get(name, {}) | changes
    torch.manual_seed(4)
    recipe = recipe_from_table(table)
    model = ARAE(recipe, CLASSES, VOCABULARY)
    return CountingNetworks(model, recipe, Optimizers.build(model, recipe), CPU)


def corpora() -> list[TokenizedSentences]:
    """Return three classes, each with ten tokens of its own."""
    found = []
    for index in range(len(CLASSES)):
        generator = np.random.default_rng(index)
        ids = generator.integers(10 + 10 * index, 20 + 10 * index, 200).astype(np.int32)
        found.append(TokenizedSentences(ids, np.arange(0, 201, 5)))
    return found


class Draws:
    """Fresh batches that are remembered."""

    def __init__(self, networks: Networks) -> None:
        self.batches: list[Batch] = []
        self._noise = networks.recipe.noise
        self._generator = np.random.default_rng(8)

    def __call__(self) -> Batch:
        chosen = [self._generator.integers(0, 40, ROWS) for _ in CLASSES]
        self.batches.append(make_batch(corpora(), chosen, self._noise, None, self._generator, CPU))
        return self.batches[-1]


def alternate(networks: CountingNetworks) -> tuple[Draws, Metrics]:
    draw = Draws(networks)
    first = draw()
    draw.batches.clear()
    return draw, alternating_step(networks, first, draw)


def join(networks: Networks, cycling: bool = False, seed: int = 1) -> Metrics:
    generator = np.random.default_rng(seed)
    return joint_step(networks, Draws(networks)(), None, generator, cycling)


# --- alternating: the paper's


@pytest.mark.parametrize("updates", [1, 5])
def test_the_critic_moves_several_times_for_each_step_of_the_autoencoder(updates: int) -> None:
    networks = build(adversary={"critic_updates": updates})
    alternate(networks)
    assert networks.moves == [
        "autoencoder",  # (1) reconstruct
        "classifier",  # (2b)
        "autoencoder",  # (3b) hide the class
        *["critic"] * updates,  # (2)
        "generator",  # (3)
        "autoencoder",  # (3) meet the generator
        "scorer",
    ]


def test_every_update_of_the_critic_sees_fresh_sentences_of_all_classes() -> None:
    """The reference code shows it class 1 in three of five updates."""
    networks = build()
    draw, _ = alternate(networks)
    assert len(draw.batches) == 6  # five for the critic, one for generator and encoder
    for batch in draw.batches:
        assert Counter(batch.classes.tolist()) == {0: ROWS, 1: ROWS, 2: ROWS}
        assert {int(token) // 10 for token in batch.tokens.flatten() if token >= 10} == {1, 2, 3}
    assert [len(code) for code in networks.seen["critic"]] == [3 * ROWS] * 5
    for first, second in zip(networks.seen["critic"], networks.seen["critic"][1:], strict=False):
        assert not torch.equal(first, second)


def test_the_critics_gradient_reaches_the_encoder_from_all_classes() -> None:
    """In the reference code it comes from class 1 alone."""
    networks = build()
    alternate(networks)
    assert [len(code) for code in networks.seen["adversarial"]] == [3 * ROWS]
    assert [classes.tolist() for classes in networks.seen["classifier"]] == [[0] * ROWS + [1] * ROWS + [2] * ROWS]


def test_networks_without_weight_do_not_move() -> None:
    networks = build(adversary={"weight": 0.0}, attribute={"weight": 0.0})
    before = {name: parameter.detach().clone() for name, parameter in networks.model.named_parameters()}
    draw, metrics = alternate(networks)
    join(networks)
    assert set(networks.moves) == {"autoencoder", "scorer"}
    assert draw.batches == []
    assert not {"critic", "generator", "classifier", "adversarial", "confusion"} & set(metrics)
    still = {name for name, parameter in networks.model.named_parameters() if torch.equal(parameter, before[name])}
    assert {name.partition(".")[0] for name in still} >= {"critic", "generator", "classifier"}


@pytest.mark.parametrize("term", ["adversary", "attribute"])
def test_weights_scale_the_terms_of_the_alternating_schedule(term: str) -> None:
    """With all other terms off, a step of plain gradient descent is proportional to the weight."""
    other = "attribute" if term == "adversary" else "adversary"
    steps = []
    for weight in (1.0, 3.0):
        networks = build(**{term: {"weight": weight, "learning_rate": 0.0}, other: {"weight": 0.0}})
        start = encoder_weights(networks)
        base = build(**{term: {"weight": 1e-12, "learning_rate": 0.0}, other: {"weight": 0.0}})
        alternate(networks)
        alternate(base)
        assert torch.equal(start, encoder_weights(build()))
        steps.append(encoder_weights(networks) - encoder_weights(base))
    assert float(steps[0].norm()) > 1e-6
    torch.testing.assert_close(steps[1], 3 * steps[0], rtol=1e-2, atol=1e-6)


def encoder_weights(networks: Networks) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in networks.model.encoder.parameters()])


# --- joint


def test_the_joint_schedule_moves_the_autoencoder_once() -> None:
    networks = build(adversary={"critic_updates": 2}, cycle={"weight": 1.0})
    metrics = join(networks, cycling=True)
    assert networks.moves == ["scorer", "autoencoder", "classifier", "critic", "critic", "generator"]
    assert {"reconstruction", "adversarial", "confusion", "cycle", "critic", "generator"} <= set(metrics)
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_joint_step_is_the_weighted_sum_of_all_terms() -> None:
    settings = {"adversary": {"weight": 0.7}, "attribute": {"weight": 0.4}, "training": {"reconstruction": 0.6}}
    networks = build(**settings)
    batch = Draws(networks)()
    code, mask = networks.encode(batch.tokens, batch.lengths)
    loss = (
        0.6 * networks.reconstruct(code, mask, batch)
        + 0.7 * networks.model.critic(code, mask).mean()
        + 0.4 * networks.confusion_term(code, mask, batch.classes)
    )
    parameters = networks.model.autoencoder_parameters()
    gradients = torch.autograd.grad(loss, parameters)
    before = [parameter.detach().clone() for parameter in parameters]
    join(networks)
    for parameter, old, gradient in zip(parameters, before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_pairs_add_their_weighted_loss() -> None:
    networks = build()
    draw = Draws(networks)
    batch, parallel = draw(), draw()
    weights = torch.linspace(0.1, 2.0, len(parallel.tokens))
    parallel = replace(
        parallel, noised_tokens=parallel.tokens.flip(0), noised_lengths=parallel.lengths, weights=weights
    )
    code, mask = networks.encode(parallel.noised_tokens, parallel.noised_lengths)
    pairs = networks.reconstruct(code, mask, parallel, weights)
    alone = networks.reconstruct(*networks.encode(batch.tokens, batch.lengths), batch)
    code, mask = networks.encode(batch.tokens, batch.lengths)
    loss = alone + pairs + networks.model.critic(code, mask).mean() + networks.confusion_term(code, mask, batch.classes)
    parameters = networks.model.autoencoder_parameters()
    gradients = torch.autograd.grad(loss, parameters)
    before = [parameter.detach().clone() for parameter in parameters]
    metrics = joint_step(networks, batch, None, np.random.default_rng(1), False, parallel)
    assert metrics["pairs"] == pytest.approx(float(pairs.detach()))
    for parameter, old, gradient in zip(parameters, before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_scorer_learns_with_and_without_a_cycle(weight: float) -> None:
    """Validation judges rewrites by it in every schedule."""
    networks = build(cycle={"weight": weight})
    accuracy = [join(networks)["scorer_accuracy"] for _ in range(40)]
    assert accuracy[-1] > 0.9
    accuracy = [alternate(networks)[1]["scorer_accuracy"] for _ in range(2)]
    assert accuracy[-1] > 0.9


def test_the_cycle_begins_when_it_is_told_to() -> None:
    assert "cycle" not in join(build(cycle={"weight": 1.0}), cycling=False)
    metrics = join(build(cycle={"weight": 1.0}), cycling=True)
    assert 0 < metrics["rewrite_belief"] < 1
    assert 0 <= metrics["rewrite_copies"] <= 1
    assert metrics["cycle"] > 0


def test_the_cycle_reconstructs_the_original_from_its_rewrite() -> None:
    networks = build(cycle={"weight": 1.0})
    batch, shift = Draws(networks)(), int(np.random.default_rng(1).integers(1, len(CLASSES)))
    tokens, lengths, belief = networks.rewrites(batch, batch.tokens, batch.lengths, shift)
    ended = torch.cat([tokens, tokens[:, :1] * 0], 1)
    ended[torch.arange(len(tokens)), lengths] = 3
    code, mask = networks.encode(ended, lengths + 1)
    # A rewrite weighs what the scorer believes of it, so that doubtful ones teach less.
    expected = networks.reconstruct(code, mask, batch, belief)
    unweighted = networks.reconstruct(code, mask, batch)
    found = joint_step(networks, batch, None, np.random.default_rng(1), cycling=True, scoring=False)["cycle"]
    assert found == pytest.approx(float(expected.detach()), rel=1e-5)
    assert found < 0.9 * float(unweighted.detach())


def test_the_cycle_teaches_encoder_and_decoders() -> None:
    changes = []
    for weight in (1e-9, 1.0):
        networks = build(cycle={"weight": weight})
        join(networks, cycling=True)
        changes.append([parameter.detach().clone() for parameter in networks.model.autoencoder_parameters()])
    assert any(not torch.allclose(one, other, atol=1e-6) for one, other in zip(*changes, strict=True))


def test_style_bearing_words_can_be_deleted_before_rewriting() -> None:
    read: list[Tensor] = []

    class Watching(CountingNetworks):
        def rewrites(
            self, batch: Batch, sources: Tensor, source_lengths: Tensor, shift: int
        ) -> tuple[Tensor, Tensor, Tensor]:
            read.append(sources)
            assert torch.equal((sources != PAD_ID).sum(1), source_lengths)
            return super().rewrites(batch, sources, source_lengths, shift)

    every = np.ones((len(CLASSES), VOCABULARY))
    style = StyleTokens(every, np.cumsum(every / VOCABULARY, axis=1))
    for delete, expected in ((0.0, 6), (1.0, 2)):  # of five tokens and the end id, one token and the end id
        plain = build(cycle={"weight": 1.0, "delete": delete})
        networks = Watching(plain.model, plain.recipe, plain.optimizers, CPU)
        joint_step(networks, Draws(networks)(), style, np.random.default_rng(1), True)
        assert read[-1].size(1) == expected


def test_accepted_rewrites_are_taught_and_others_are_not() -> None:
    def taught(belief: float, **output: float) -> float:
        networks = build(cycle={"weight": 1.0, "teach": 1.0})
        with torch.no_grad():
            for index in range(3):
                decoder = networks.model.decoder(index)
                decoder.output.bias[int(output["token"])] = 5.0
            # A scorer that believes equally in whatever it reads.
            scorer = networks.model.scorer
            scorer.last.weight.zero_()
            wanted = (1 + int(np.random.default_rng(1).integers(1, 3))) % 3
            scorer.last.bias.zero_()
            scorer.last.bias[wanted] = np.log(2 * belief / (1 - belief))
        return join(networks, cycling=True)["taught"]

    assert taught(0.9, token=12) > 0
    assert taught(0.4, token=12) == 0.0
    assert taught(0.9, token=END_ID) == 0.0  # a rewrite without a word teaches nothing


def test_copies_are_counted() -> None:
    networks = build(cycle={"weight": 1.0})
    batch = Draws(networks)()
    metrics = join(networks, cycling=True)
    assert metrics["rewrite_copies"] == 0.0
    # Decoders that all write token 12 four times copy sentences that are just that.
    with torch.no_grad():
        output = networks.model.decoder(0).output
        output.weight.zero_()
        output.bias.fill_(-100.0)
        output.bias[12] = 100.0
    same = torch.full_like(batch.tokens, 12)
    lengths = torch.full_like(batch.lengths, same.size(1))
    same[:, -1] = 3
    bound = Batch(same, lengths, same, lengths, batch.classes)
    networks.model.maximum_vectors = same.size(1)  # so that rewrites end where sentences do
    found = joint_step(networks, bound, None, np.random.default_rng(1), True)
    assert found["rewrite_copies"] == 1.0


def test_each_batch_holds_as_many_rows_of_a_small_class() -> None:
    """Both the batches that are reconstructed and those that generator and critic draw."""

    class Watching(CountingNetworks):
        def encode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            encoded.append(tokens)
            return super().encode(tokens, lengths)

    encoded: list[Tensor] = []
    plain = build(adversary={"critic_updates": 2})
    networks = Watching(plain.model, plain.recipe, plain.optimizers, CPU)
    large, small, middle = corpora()
    small = TokenizedSentences(small.ids[:5], small.starts[:2])
    schedule = BatchSchedule({"bad": large, "good": small, "so-so": middle}, ROWS, 1)
    generator = np.random.default_rng(1)

    def draw() -> Batch:
        sizes = [len(corpus) for corpus in (large, small, middle)]
        chosen = [generator.integers(0, size, ROWS) for size in sizes]
        return make_batch([large, small, middle], chosen, networks.recipe.noise, None, generator, CPU)

    for step in range(3):
        batch = make_batch([large, small, middle], schedule.indices(step), networks.recipe.noise, None, generator, CPU)
        assert batch.classes.bincount().tolist() == [ROWS, ROWS, ROWS]
        alternating_step(networks, batch, draw)
    # Each class has ten tokens of its own, so its rows can be told from what was read.
    for tokens in encoded:
        owners = (tokens[:, 0] - 10) // 10
        assert len(set(owners.bincount(minlength=3).tolist())) == 1


# --- batches in parts


def uneven(networks: Networks, rows: int = ROWS) -> Batch:
    """Return a batch of sentences of many lengths."""
    generator = np.random.default_rng(3)
    corpora = []
    for index in range(len(CLASSES)):
        sentences = [generator.integers(10 + 10 * index, 20 + 10 * index, 1 + row % 8).tolist() for row in range(40)]
        corpora.append(TokenizedSentences.join(sentences))
    chosen = [generator.integers(0, 40, rows) for _ in CLASSES]
    return make_batch(corpora, chosen, networks.recipe.noise, None, generator, CPU)


def moved_in(most: int, schedule: str) -> tuple[CountingNetworks, Metrics]:
    """Return networks after a step in parts of so many positions, and its figures."""
    cycle = {"weight": 1.0, "teach": 0.5, "style": 0.5} if schedule == "joint" else {}
    networks = build(training={"schedule": schedule, "tokens_at_once": most}, cycle=cycle)
    networks.noise = torch.Generator().manual_seed(5)
    networks.model.scorer.dropout.p = 0.0
    batch, others = uneven(networks), Draws(networks)
    if schedule == "alternating":
        return networks, alternating_step(networks, batch, others)
    parallel = replace(others(), weights=torch.linspace(0.1, 2.0, 3 * ROWS))
    return networks, joint_step(networks, batch, None, np.random.default_rng(1), True, parallel)


@pytest.mark.parametrize("schedule", ["joint", "alternating"])
@pytest.mark.parametrize("most", [1, 60])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(schedule: str, most: int) -> None:
    (whole, expected), (parts, found) = (moved_in(each, schedule) for each in (10_000, most))
    assert len(uneven(parts).parts(most)) > 1
    assert parts.moves == whole.moves
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    start = build().model.autoencoder_parameters()
    pairs = zip(whole.model.autoencoder_parameters(), parts.model.autoencoder_parameters(), start, strict=True)
    moved = 0
    for one, other, before in pairs:
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)
        moved += not torch.equal(one, before)
    assert moved > 5


def most_kept(networks: Networks, rows: int) -> int:
    """Return the most bytes that a step keeps at once for the way back."""
    kept = most = 0

    class Box:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def pack(tensor: Tensor) -> Box:
        nonlocal kept, most
        size, box = tensor.numel() * tensor.element_size(), Box(tensor)
        weakref.finalize(box, release, size)
        kept += size
        most = max(most, kept)
        return box

    def release(size: int) -> None:
        nonlocal kept
        kept -= size

    batch = uneven(networks, rows)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        joint_step(networks, batch, None, np.random.default_rng(1), False, batch, scoring=False)
    assert kept == 0
    return most


def test_memory_is_bounded_by_tokens_not_by_rows() -> None:
    off = {"adversary": {"weight": 0.0}, "attribute": {"weight": 0.0}}
    bounded = [most_kept(build(**off, training={"tokens_at_once": 200}), rows) for rows in (7, 64)]
    assert bounded[1] < 1.3 * bounded[0]
    assert most_kept(build(**off), 64) > 4 * bounded[1]
