"""Which way each network pulls, and that it moves nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID
from arae_transfer.training.batch import Batch
from arae_transfer.training.code_statistics import code_statistics
from arae_transfer.training.cycle import style_of_soft_output
from arae_transfer.training.losses import reconstruction_loss
from arae_transfer.training.networks import Networks, TrainingDiverged
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.processor import runs_bf16

CLASSES = ("bad", "good", "so-so")
VOCABULARY = 50
ROWS = 12
NETWORKS = ("encoder", "decoders", "generator", "critic", "classifier", "scorer")

both_codes = pytest.mark.parametrize("code", ["single", "superposed", "sequence"])


def recipe(code: str, **sections: dict[str, Any]) -> Recipe:
    table: dict[str, Any] = {
        "data": {"maximum_tokens": 10},
        "model": {"code": code, "code_size": 8, "embedding_size": 8, "hidden_size": 8, "code_noise": 0.0},
        "adversary": {"noise_size": 4, "generator_layers": [16], "critic_layers": [16], "learning_rate": 5e-3},
        "attribute": {"layers": [16], "learning_rate": 3e-2},
        "training": {"learning_rate": 1.0, "initialization": "scaled"},
    }
    for name, changes in sections.items():
        table[name] = table.get(name, {}) | changes
    return recipe_from_table(table)


def build(code: str, **sections: dict[str, Any]) -> Networks:
    torch.manual_seed(11)
    chosen = recipe(code, **sections)
    model = ARAE(chosen, CLASSES, VOCABULARY)
    return Networks(model, chosen, Optimizers.build(model, chosen), torch.device("cpu"))


def batch(extra: int = 0) -> Batch:
    """Return sentences of three classes, each class with ten tokens of its own among shared ones."""
    generator = torch.Generator().manual_seed(2)
    rows = len(CLASSES) * ROWS
    lengths = torch.randint(2, 9, (rows,), generator=generator)
    classes = torch.arange(len(CLASSES)).repeat_interleave(ROWS)
    shared = torch.randint(40, VOCABULARY, (rows, 9), generator=generator)
    own = torch.randint(0, 10, (rows, 9), generator=generator) + 10 * (classes[:, None] + 1)
    tokens = torch.where(torch.rand(rows, 9, generator=generator) < 0.5, own, shared)
    places = torch.arange(9)
    tokens = tokens.masked_fill(places >= lengths[:, None] - 1, PAD_ID)
    tokens = tokens.masked_fill(places == lengths[:, None] - 1, END_ID)
    tokens = nn.functional.pad(tokens[:, : int(lengths.max())], (0, extra), value=PAD_ID)
    return Batch(tokens, lengths, tokens, lengths, classes)


def snapshot(model: ARAE) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moved(model: ARAE, before: dict[str, Tensor]) -> set[str]:
    """Return the networks whose parameters are no longer those of the snapshot."""
    return {
        name.partition(".")[0]
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter.detach(), before[name])
    }


def rewrite(networks: Networks, sentences: Batch, shift: int) -> tuple[Tensor, Tensor, Tensor]:
    return networks.rewrites(sentences, sentences.tokens, sentences.lengths, shift)


def codes(networks: Networks, sentences: Batch) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return networks.encode(sentences.tokens, sentences.lengths)


# --- precision


@both_codes
def test_critic_and_penalty_keep_whole_precision_beside_half_precision(code: str) -> None:
    networks = build(code)
    seen: list[torch.dtype] = []
    for network in (networks.model.critic, networks.model.generator):
        network.last.register_forward_hook(lambda _, read, result: seen.extend([read[0].dtype, result.dtype]))
    with torch.autocast("cpu", torch.bfloat16):
        # Where no LSTM runs in bfloat16, what it would give is still read in whole precision.
        with torch.autocast("cpu", torch.bfloat16, enabled=runs_bf16()):
            code_now, mask = codes(networks, batch())
        assert code_now.dtype == torch.float32
        networks.update_critic(code_now, mask)
        networks.update_generator(mask)
        networks.adversarial_term(code_now, mask)
    assert len(seen) >= 10
    assert set(seen) == {torch.float32}


@both_codes
def test_small_networks_learn_the_same_beside_half_precision(code: str) -> None:
    # Their backward passes run within the step's autocast, where torch would round their products.
    learnt = []
    for half in (False, True):
        networks, sentences = build(code), batch()
        real, mask = codes(networks, sentences)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            for _ in range(3):
                networks.update_critic(real, mask)
                networks.update_generator(mask)
                networks.update_classifier(real, mask, sentences.classes)
            term = networks.adversarial_term(real, mask) + networks.confusion_term(real, mask, sentences.classes)
        small = (networks.model.critic, networks.model.generator, networks.model.classifier)
        learnt.append([term.detach(), *(weight for network in small for weight in network.state_dict().values())])
    for one, other in zip(*learnt, strict=True):
        assert torch.equal(one, other)


# --- the sign of every adversarial term


@both_codes
@pytest.mark.parametrize("constraint", ["clip", "gradient-penalty"])
def test_the_critic_learns_to_score_real_codes_above_generated_ones(code: str, constraint: str) -> None:
    networks = build(code, adversary={"constraint": constraint, "clip": 0.3, "penalty": 1.0})
    critic = networks.model.critic
    real, mask = codes(networks, batch())
    with torch.no_grad():
        generated = networks.generate(mask)
    for _ in range(60):
        networks.update_critic(real, mask)
    gap = critic(real, mask).mean() - critic(generated, mask).mean()
    assert float(gap.detach()) > 0.01
    if constraint == "clip":
        assert max(float(parameter.detach().abs().max()) for parameter in critic.parameters()) <= 0.3 + 1e-6
    metrics = networks.update_critic(real, mask)
    assert metrics["critic"] < -0.01
    assert ("penalty" in metrics) == (constraint == "gradient-penalty")


@both_codes
def test_the_penalty_brings_the_critics_slope_to_one(code: str) -> None:
    networks = build(code, adversary={"penalty": 10.0})
    real, mask = codes(networks, batch())
    penalties = [networks.update_critic(real, mask)["penalty"] for _ in range(120)]
    assert penalties[0] > 0.5
    assert penalties[-1] < 0.1


def take_small_steps(networks: Networks, rate: float = 1e-3) -> None:
    """Follow the gradient without overshooting, so that each step goes where its sign points."""
    for group in networks.optimizers.autoencoder.param_groups:
        group["lr"] = rate


def trained_critic(code: str) -> tuple[Networks, Batch]:
    """Return networks whose critic tells real from generated codes."""
    networks, sentences = build(code, adversary={"penalty": 1.0}), batch()
    real, mask = codes(networks, sentences)
    for _ in range(60):
        networks.update_critic(real, mask)
    return networks, sentences


@both_codes
def test_the_generator_raises_the_scores_of_generated_codes(code: str) -> None:
    networks, sentences = trained_critic(code)
    _, mask = codes(networks, sentences)

    def score() -> float:
        torch.manual_seed(3)
        with torch.no_grad():
            return float(networks.model.critic(networks.generate(mask), mask).mean())

    before = score()
    losses = [networks.update_generator(mask)["generator"] for _ in range(20)]
    assert score() > before + 0.02
    assert losses[-1] < losses[0]


@both_codes
def test_the_encoder_lowers_the_scores_of_real_codes(code: str) -> None:
    networks, sentences = trained_critic(code)
    take_small_steps(networks)

    def score() -> float:
        return float(networks.model.critic(*codes(networks, sentences)).mean().detach())

    scores = [score()]
    for _ in range(5):
        networks.update_autoencoder(networks.adversarial_term(*networks.encode(sentences.tokens, sentences.lengths)))
        scores.append(score())
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < scores[0]


def trained_classifier(code: str) -> tuple[Networks, Batch, list[dict[str, float]]]:
    networks, sentences = build(code), batch()
    real, mask = codes(networks, sentences)
    return networks, sentences, [networks.update_classifier(real, mask, sentences.classes) for _ in range(150)]


@both_codes
def test_the_classifier_learns_the_classes(code: str) -> None:
    _, _, metrics = trained_classifier(code)
    assert metrics[0]["classifier_accuracy"] < 0.5
    assert metrics[-1]["classifier_accuracy"] > 0.7
    assert metrics[-1]["classifier"] < metrics[0]["classifier"] / 2


@both_codes
def test_the_encoder_makes_the_classifier_wrong(code: str) -> None:
    networks, sentences, _ = trained_classifier(code)
    take_small_steps(networks)

    def logits() -> Tensor:
        found: Tensor = networks.model.classifier(*codes(networks, sentences)).detach()
        return found

    def step() -> None:
        code_now, mask = networks.encode(sentences.tokens, sentences.lengths)
        networks.update_autoencoder(networks.confusion_term(code_now, mask, sentences.classes))

    # Not the true class's own probability: of three classes it may rise while the less probable of the others gains.
    others = nn.functional.one_hot(sentences.classes, len(CLASSES)) == 0
    doubts = [float(logits().log_softmax(1)[others].mean())]
    for _ in range(5):
        step()
        doubts.append(float(logits().log_softmax(1)[others].mean()))
    assert doubts == sorted(doubts)
    assert doubts[-1] > doubts[0]
    take_small_steps(networks, 0.1)
    for _ in range(100):
        step()
    assert float((logits().argmax(1) == sentences.classes).float().mean()) < 0.5


@both_codes
def test_reconstruction_makes_sentences_more_probable(code: str) -> None:
    networks, sentences = build(code), batch()

    def step() -> float:
        loss = networks.reconstruct(*networks.encode(sentences.tokens, sentences.lengths), sentences)
        networks.update_autoencoder(loss)
        return float(loss.detach())

    losses = [step() for _ in range(40)]
    assert losses[-1] < losses[0] - 0.5


def test_the_scorer_learns_the_classes() -> None:
    networks, sentences = build("single"), batch()
    accuracy = [networks.update_scorer(sentences)["scorer_accuracy"] for _ in range(60)]
    assert accuracy[-1] > 0.9


# --- nobody moves another


Step = Callable[[Networks, Batch], object]


def moves() -> list[Any]:
    def encode(networks: Networks, sentences: Batch) -> tuple[Tensor, Tensor]:
        return networks.encode(sentences.tokens, sentences.lengths)

    steps: dict[str, tuple[Step, set[str]]] = {
        "critic": (lambda networks, sentences: networks.update_critic(*encode(networks, sentences)), {"critic"}),
        "generator": (
            lambda networks, sentences: networks.update_generator(encode(networks, sentences)[1]),
            {"generator"},
        ),
        "classifier": (
            lambda networks, sentences: networks.update_classifier(*encode(networks, sentences), sentences.classes),
            {"classifier"},
        ),
        "scorer": (lambda networks, sentences: networks.update_scorer(sentences), {"scorer"}),
        "encoder against critic": (
            lambda networks, sentences: networks.update_autoencoder(
                networks.adversarial_term(*encode(networks, sentences))
            ),
            {"encoder"},
        ),
        "encoder against classifier": (
            lambda networks, sentences: networks.update_autoencoder(
                networks.confusion_term(*encode(networks, sentences), sentences.classes)
            ),
            {"encoder"},
        ),
        "reconstruction": (
            lambda networks, sentences: networks.update_autoencoder(
                networks.reconstruct(*encode(networks, sentences), sentences)
            ),
            {"encoder", "decoders"},
        ),
        "rewriting": (lambda networks, sentences: rewrite(networks, sentences, 1), set()),
    }
    return [pytest.param(step, movers, id=name) for name, (step, movers) in steps.items()]


@both_codes
@pytest.mark.parametrize(("step", "movers"), moves())
def test_a_step_moves_its_own_network_and_nobody_else(code: str, step: Step, movers: set[str]) -> None:
    networks, sentences = build(code), batch()
    before = snapshot(networks.model)
    step(networks, sentences)
    assert moved(networks.model, before) == movers
    # No gradient is left for another network's next step, and everybody can learn again.
    for name, parameter in networks.model.named_parameters():
        assert name.partition(".")[0] in movers or parameter.grad is None
        assert parameter.requires_grad


@both_codes
def test_each_class_is_decoded_by_its_own_decoder(code: str) -> None:
    networks, sentences = build(code), batch()
    weights = torch.zeros(len(CLASSES) * ROWS)
    weights[sentences.rows_of(1)] = 1.0
    loss = networks.reconstruct(*networks.encode(sentences.tokens, sentences.lengths), sentences, weights)
    before = snapshot(networks.model)
    networks.update_autoencoder(loss)
    changed = {
        name.split(".")[1]
        for name, parameter in networks.model.decoders.named_parameters(prefix="decoders")
        # The output layer is everybody's, and so is what reads a code that superposes.
        if "output" not in name and "superposition" not in name and not torch.equal(parameter.detach(), before[name])
    }
    assert changed == {"1"}


# --- reconstruction


@both_codes
def test_reconstruction_is_the_mean_over_classes_of_the_mean_over_tokens(code: str) -> None:
    networks, sentences = build(code, training={"label_smoothing": 0.1}), batch()
    code_now, mask = codes(networks, sentences)
    expected = []
    for index in range(len(CLASSES)):
        rows = sentences.rows_of(index)
        logits, wanted = networks.model.decoder(index)(sentences.tokens[rows], code_now[rows], mask[rows])
        expected.append(reconstruction_loss(logits, wanted, label_smoothing=0.1))
    torch.testing.assert_close(networks.reconstruct(code_now, mask, sentences), sum(expected) / 3)


@both_codes
@pytest.mark.parametrize("changes", [{}, {"shared_embeddings": True, "decoder_layers": 2}])
def test_gradients_taken_early_are_those_of_the_sum(
    code: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for most in (len(CLASSES), len(CLASSES) - 1):
        monkeypatch.setattr("arae_transfer.training.networks.MOST_KEPT", most)
        networks, sentences = build(code, model=changes, training={"label_smoothing": 0.1}), batch()
        code_now, mask = networks.encode(sentences.tokens, sentences.lengths)
        again = networks.reconstruct(code_now, mask, sentences, torch.linspace(0.5, 1.5, 36))
        once_more = networks.reconstruct(code_now, mask, sentences)
        torch.autograd.backward(3.0 * again + 0.5 * once_more + code_now.square().sum())
        found.append((float(again.detach()), {n: p.grad for n, p in networks.model.named_parameters()}))
    (kept, expected), (early, gradients) = found
    assert early == kept
    assert sum(gradient is not None for gradient in gradients.values()) > 10
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


@both_codes
def test_padding_does_not_count(code: str) -> None:
    networks = build(code)
    found = [networks.reconstruct(*codes(networks, batch(extra)), batch(extra)) for extra in (0, 4)]
    torch.testing.assert_close(found[0], found[1])


def test_sentence_weights_weigh_sentences() -> None:
    networks, sentences = build("single"), batch()
    code_now, mask = codes(networks, sentences)
    plain = networks.reconstruct(code_now, mask, sentences)
    torch.testing.assert_close(networks.reconstruct(code_now, mask, sentences, torch.ones(36)), plain)
    torch.testing.assert_close(networks.reconstruct(code_now, mask, sentences, torch.full((36,), 0.5)), plain / 2)
    halves = torch.zeros(2, 36)
    halves[0, ::2], halves[1, 1::2] = 1.0, 1.0
    parts = [networks.reconstruct(code_now, mask, sentences, half) for half in halves]
    torch.testing.assert_close(parts[0] + parts[1], plain)


def test_code_noise_has_the_given_deviation_on_real_vectors_only() -> None:
    networks = build("sequence")
    code_now, mask = codes(networks, batch())
    assert networks.with_code_noise(code_now, mask) is code_now
    networks.code_noise = 0.3
    torch.manual_seed(0)
    added = torch.stack([networks.with_code_noise(code_now, mask) - code_now for _ in range(50)])
    assert float(added[:, mask].std()) == pytest.approx(0.3, rel=0.03)
    assert not added[:, ~mask].any()


def test_clipping_bounds_the_step_and_reports_the_norm_before() -> None:
    networks = build("single", training={"learning_rate": 1.0, "gradient_clip": 0.01})
    before = snapshot(networks.model)
    sentences = batch()
    loss = networks.reconstruct(*networks.encode(sentences.tokens, sentences.lengths), sentences)
    norm = networks.update_autoencoder(loss)
    after = snapshot(networks.model)
    step = torch.cat([(after[name] - before[name]).flatten() for name in before]).norm()
    assert norm > 0.02
    assert float(step) == pytest.approx(0.01, rel=1e-3)


# --- rewriting for the cycle


@both_codes
@pytest.mark.parametrize("shift", [1, 2])
def test_rewrites_are_those_of_the_decoder_some_classes_on(code: str, shift: int) -> None:
    networks, sentences = build(code, cycle={"extra_tokens": 1}), batch()
    networks.model.train()
    tokens, lengths, belief = rewrite(networks, sentences, shift)
    assert networks.model.training
    assert all(module.training for module in networks.model.modules())
    networks.model.eval()
    code_now, mask = codes(networks, sentences)
    for index in range(len(CLASSES)):
        rows = sentences.rows_of(index)
        bound = min(int(sentences.lengths[rows].max()) + 1, 11)
        expected = networks.model.decoder((index + shift) % 3).greedy(code_now[rows], mask[rows], bound)
        for row, length, written in zip(tokens[rows], lengths[rows], expected, strict=True):
            kept = [token for token in written.tolist() if token not in (PAD_ID, END_ID)] or [UNKNOWN_ID]
            assert row[: int(length)].tolist() == kept
            assert not row[int(length) :].any()
    wanted = (sentences.classes + shift) % 3
    logits = networks.model.scorer(tokens, tokens != PAD_ID)
    torch.testing.assert_close(belief, logits.softmax(1)[torch.arange(36), wanted].detach())


def test_an_empty_rewrite_stands_as_one_unknown_token() -> None:
    networks, sentences = build("sequence"), batch()
    with torch.no_grad():
        networks.model.decoder(0).output.bias[END_ID] = 100.0  # the output layer is everybody's
    tokens, lengths, _ = rewrite(networks, sentences, 1)
    assert tokens.tolist() == [[UNKNOWN_ID]] * 36
    assert lengths.tolist() == [1] * 36


def test_rewrites_fit_the_places_that_the_networks_know() -> None:
    networks, sentences = build("sequence", cycle={"extra_tokens": 0}), batch()
    with torch.no_grad():
        networks.model.decoder(0).output.bias[END_ID] = -100.0
    networks.model.maximum_vectors = 6
    tokens, lengths, _ = rewrite(networks, sentences, 1)
    assert int(lengths.max()) == 5  # and the end id makes six
    assert not set(tokens.flatten().tolist()) & {UNKNOWN_ID, BEGIN_ID, END_ID}


def test_the_average_rewrites_where_there_is_one() -> None:
    networks, sentences = build("single"), batch()
    other = build("single").model
    with torch.no_grad():
        for index in range(3):
            other.decoder(index).output.bias[7] = 100.0
    networks.rewriting = other.eval()
    tokens, _, _ = rewrite(networks, sentences, 1)
    assert set(tokens.flatten().tolist()) <= {7, PAD_ID}
    assert not networks.rewriting.training
    assert networks.model.scorer.training


# --- the scorer's verdict, straight through


def soft_output(
    networks: Networks, sentences: Batch, token_subset: Tensor | None = None, shift: int = 1
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the verdict, the entropies, and the rewrites that were judged, with end ids, and their lengths."""
    tokens, lengths, _ = rewrite(networks, sentences, shift)
    lengths[::2] = 2  # rewrites of different lengths
    tokens = tokens.masked_fill(torch.arange(tokens.size(1)) >= lengths[:, None], PAD_ID)
    targets = nn.functional.pad(tokens, (0, 1), value=PAD_ID)
    targets[torch.arange(len(targets)), lengths] = END_ID
    chosen = replace(sentences, token_subset=token_subset)
    code_now, mask = networks.encode(sentences.tokens, sentences.lengths)
    found = style_of_soft_output(networks.model, code_now, mask, chosen, targets, lengths + 1, shift)
    return *found, targets, lengths + 1


@both_codes
@pytest.mark.parametrize("token_subset", [None, torch.arange(END_ID, VOCABULARY)], ids=["all", "token_subset"])
def test_the_verdict_is_on_the_words_that_stand_there(code: str, token_subset: Tensor | None) -> None:
    networks, sentences = build(code), batch()
    verdict, entropies, targets, lengths = soft_output(networks, sentences, token_subset)
    networks.model.scorer.eval()
    wished = (sentences.classes + 1) % 3
    logits = networks.model.scorer(targets, (targets != PAD_ID) & (targets != END_ID))
    torch.testing.assert_close(verdict, nn.functional.cross_entropy(logits, wished))
    code_now, mask = codes(networks, sentences)
    for row in range(len(targets)):
        real = targets[row : row + 1, : int(lengths[row])]
        decoder = networks.model.decoder(int(wished[row]))
        alone, columns = decoder(real, code_now[row : row + 1], mask[row : row + 1], 0.0, token_subset)
        torch.testing.assert_close(entropies[row], nn.functional.cross_entropy(alone, columns))


@both_codes
def test_the_verdict_draws_the_decoders_to_the_wished_class(code: str) -> None:
    """Its gradient makes the scorer's words of that class more probable, and the scorer itself learns nothing."""
    networks, sentences = build(code), batch()
    for _ in range(60):
        networks.update_scorer(sentences)
    code_now, mask = codes(networks, sentences)
    own = torch.arange(3)[:, None] * 10 + 10 + torch.arange(10)  # (classes, tokens of the class)

    def probability() -> float:
        found = []
        for index in range(3):
            rows, target = sentences.rows_of(index), (index + 1) % 3
            logits, _ = networks.model.decoder(target)(sentences.tokens[rows], code_now[rows], mask[rows])
            found.append(logits.softmax(1)[:, own[target]].sum(1).mean())
        return float(torch.stack(found).mean().detach())

    before, start = snapshot(networks.model), probability()
    for _ in range(40):
        verdict, *_ = soft_output(networks, sentences)
        networks.optimizers.scorer.zero_grad()
        networks.update_autoencoder(verdict)
        assert all(parameter.grad is None for parameter in networks.model.scorer.parameters())
    assert moved(networks.model, before) == {"encoder", "decoders"}
    assert probability() > start + 0.005
    assert networks.model.scorer.training


# --- numbers that are no longer numbers


def spoil(network: nn.Module) -> None:
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)


@pytest.mark.parametrize(
    ("network", "named", "key"),
    [
        ("critic", "the critic", "adversary.learning_rate"),
        ("generator", "the generator", "adversary.learning_rate"),
        ("classifier", "the classifier", "attribute.learning_rate"),
        ("scorer", "the style scorer", "training.batch_size"),
        ("encoder", "the encoder and decoders", "training.learning_rate"),
    ],
)
def test_a_loss_that_is_no_number_names_its_network_and_changes_nothing(network: str, named: str, key: str) -> None:
    networks, sentences = build("single"), batch()
    code_now, mask = codes(networks, sentences)
    spoil(getattr(networks.model, network))
    before = snapshot(networks.model)
    steps: dict[str, Callable[[], object]] = {
        "critic": lambda: networks.update_critic(code_now, mask),
        "generator": lambda: networks.update_generator(mask),
        "classifier": lambda: networks.update_classifier(code_now, mask, sentences.classes),
        "scorer": lambda: networks.update_scorer(sentences),
        "encoder": lambda: networks.update_autoencoder(
            networks.reconstruct(*networks.encode(sentences.tokens, sentences.lengths), sentences)
        ),
    }
    with pytest.raises(TrainingDiverged, match=f"the loss of {named} is no longer finite") as caught:
        steps[network]()
    assert caught.value.hint is not None
    assert key in caught.value.hint
    for name, parameter in networks.model.named_parameters():
        assert torch.equal(parameter.detach().nan_to_num(7.0), before[name].nan_to_num(7.0))
        assert parameter.requires_grad


def test_a_gradient_that_is_no_number_changes_nothing() -> None:
    networks, sentences = build("single"), batch()
    before = snapshot(networks.model)
    code_now, _ = networks.encode(sentences.tokens, sentences.lengths)
    with pytest.raises(TrainingDiverged, match="the gradient of the encoder and decoders"):
        # The root of zero is a number, its slope is not.
        networks.update_autoencoder((code_now - code_now.detach()).square().sum().sqrt())
    assert moved(networks.model, before) == set()


# --- figures


def test_code_statistics_are_mean_norm_and_summed_variance_of_real_vectors() -> None:
    code = torch.tensor([[[3.0, 4.0], [100.0, 100.0]], [[0.0, 1.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, False], [True, True]])
    # Norms 5, 1 and 0; variances of (3, 0, 0) and (4, 1, 0) with n - 1: 3 and 13 / 3.
    found = code_statistics("real", code, mask)
    assert found == pytest.approx({"real_norm": 2.0, "real_variance": 3 + 13 / 3})
    assert code_statistics("real", code[:1], mask[:1])["real_variance"] == 0.0


def test_every_network_has_an_optimizer_of_its_own() -> None:
    networks = build("single", training={"optimizer": "adam"}, adversary={"beta1": 0.25})
    named = {parameter: name.partition(".")[0] for name, parameter in networks.model.named_parameters()}
    owners = {
        name: {named[parameter] for group in optimizer.param_groups for parameter in group["params"]}
        for name, optimizer in networks.optimizers.by_name().items()
    }
    assert owners.pop("autoencoder") == {"encoder", "decoders"}
    assert owners == {name: {name} for name in ("generator", "critic", "classifier", "scorer")}
    covered = sum(len(group["params"]) for o in networks.optimizers.by_name().values() for group in o.param_groups)
    assert covered == len(named)
    for optimizer in (networks.optimizers.generator, networks.optimizers.critic):
        assert optimizer.param_groups[0]["betas"] == (0.25, 0.999)
        assert optimizer.param_groups[0]["lr"] == 5e-3
    assert set(named.values()) == set(NETWORKS)
