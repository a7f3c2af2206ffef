"""The cycle: a rewrite is encoded, and the original is reconstructed from it; the style scorer scores the rewrite."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from arae_transfer.corpus.batches import with_end
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import InputNoise
from arae_transfer.tokenizer import END_ID, PAD_ID, UNKNOWN_ID
from arae_transfer.training import losses
from arae_transfer.training.batch import Batch
from arae_transfer.training.input_noise import add_input_noise
from arae_transfer.training.networks import Metrics, Networks, frozen


def cycle_terms(
    networks: Networks, batch: Batch, style: StyleTokens | None, generator: np.random.Generator
) -> tuple[Tensor, Metrics]:
    """Return the cycle's loss on a batch and its figures, by parts; see ``sum_parts``."""
    parts = batch.parts(networks.tokens_at_once)
    shift = int(generator.integers(1, len(networks.model.classes)))  # the same in all processes
    generator = networks.processes.own_randomness(generator)
    if len(parts) == 1:
        return _cycle_term(networks, batch, style, generator, shift)
    total, metrics = torch.zeros((), device=networks.device), Counter[str]()
    for part in parts:
        loss, found = _cycle_term(networks, part.batch, style, generator, shift)
        total = total + networks.collect_gradients(loss)
        metrics.update(found)
    return total, dict(metrics)


def _cycle_term(
    networks: Networks, batch: Batch, style: StyleTokens | None, generator: np.random.Generator, shift: int
) -> tuple[Tensor, Metrics]:
    """Rewrite, encode the rewrite, and reconstruct the original with its own class's decoder.

    The weight of a pair is the scorer's probability that the rewrite has its class: a rewrite that kept its style would
    teach copying.
    """
    recipe, number = networks.recipe, len(networks.model.classes)
    wanted = (batch.classes + shift) % number
    sources, source_lengths = batch.tokens, batch.lengths
    if recipe.cycle.delete > 0:
        deletion = InputNoise(style_share=1.0, style_drop=recipe.cycle.delete)
        sources, source_lengths = _damage(networks, batch.tokens, batch.classes, deletion, style, generator)
    tokens, lengths, belief = networks.rewrites(batch, sources, source_lengths, shift)
    read, read_lengths = _damage(networks, tokens, wanted, recipe.noise, style, generator)
    code, mask = networks.encode(read, read_lengths)
    cycle = networks.reconstruct(networks.with_code_noise(code, mask), mask, batch, belief)
    loss = recipe.cycle.weight * cycle
    time = min(tokens.size(1), batch.tokens.size(1))
    unpadded = batch.tokens.masked_fill(batch.tokens == END_ID, PAD_ID)
    same = (tokens[:, :time] == unpadded[:, :time]).all(1) & (lengths == batch.lengths - 1)
    metrics = {
        "cycle": float(cycle.detach()),
        "rewrite_belief": float(belief.mean()) * batch.row_share,
        "rewrite_copies": float(same.float().mean()) * batch.row_share,
    }
    if recipe.cycle.teach > 0 or recipe.cycle.style > 0:
        targets, target_lengths = (
            torch.from_numpy(array).to(networks.device)
            for array in with_end(tokens.cpu().numpy(), lengths.cpu().numpy())
        )
        code, mask = networks.encode(batch.tokens, batch.lengths)
        verdict, entropies = style_of_soft_output(
            networks.model, networks.with_code_noise(code, mask), mask, batch, targets, target_lengths, shift
        )
        # Only rewrites that the scorer accepts are taught, each as far as it does; one without a word teaches nothing.
        accepted = belief * (belief > 0.5) * ~same * (tokens[:, 0] != UNKNOWN_ID)
        taught = (entropies * accepted).mean() * batch.row_share
        verdict = verdict * batch.row_share
        loss = loss + recipe.cycle.teach * taught + recipe.cycle.style * verdict
        metrics |= {"taught": float(taught.detach()), "style_verdict": float(verdict.detach())}
    return loss, metrics


def style_of_soft_output(
    model: ARAE, code: Tensor, mask: Tensor, batch: Batch, targets: Tensor, lengths: Tensor, shift: int
) -> tuple[Tensor, Tensor]:
    """Decode given rewrites, and pass the style scorer's gradient to the decoders (straight-through estimator).

    Args:
        model: The model.
        code: (rows, vectors, size).
        mask: (rows, vectors).
        batch: The batch whose rows these are.
        targets: (rows, time) rewrites with end ids, for teacher forcing.
        lengths: (rows,).
        shift: The offset of the rewrites' class index from the sentence's.

    Returns:
        The scorer's loss for that class, and (rows,) the mean cross entropy of each rewrite's tokens.
    """
    number = len(model.classes)
    vocabulary = model.scorer.embedding.weight
    if batch.token_subset is not None:
        vocabulary = vocabulary[batch.token_subset]
    style, entropies = code.new_zeros(()), []
    model.scorer.eval()
    with frozen(model.scorer):
        for index in range(number):
            rows, target = batch.rows_of(index), (index + shift) % number
            time = int(lengths[rows].max())
            wanted_tokens = targets[rows, :time]  # (rows, time)
            logits, wanted = model.decoder(target)(wanted_tokens, code[rows], mask[rows], 0.0, batch.token_subset)
            real = wanted_tokens != PAD_ID  # (rows, time)
            token_losses = nn.functional.cross_entropy(logits, wanted, reduction="none")
            spread = token_losses.new_zeros(real.shape).masked_scatter(real, token_losses)  # (rows, time)
            entropies.append(spread.sum(1) / lengths[rows])
            soft = logits.softmax(1) @ vocabulary.detach()  # (real positions, size)
            # Straight through: the scorer judges the words that stand there, the gradient is the distribution's.
            soft = vocabulary[wanted].detach() + soft - soft.detach()
            embedded = soft.new_zeros(*real.shape, soft.size(1))  # (rows, time, size)
            embedded = embedded.masked_scatter(real[:, :, None].expand_as(embedded), soft)
            verdict = model.scorer.classify(embedded, real & (wanted_tokens != END_ID))
            wanted_class = torch.full_like(lengths[rows], target)
            style = style + losses.classifier_loss(verdict, wanted_class)
    model.scorer.train()
    return style / number, torch.cat(entropies)


def _damage(
    networks: Networks,
    tokens: Tensor,
    classes: Tensor,
    noise: InputNoise,
    style: StyleTokens | None,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Add noise to sentences, with or without end ids, and return them with end ids and lengths."""
    plain = tokens.masked_fill(tokens == END_ID, PAD_ID).cpu().numpy()
    lengths = (plain != PAD_ID).sum(1)
    noised, noised_lengths = with_end(*add_input_noise(plain, lengths, classes.cpu().numpy(), noise, style, generator))
    # As long in all processes, because noise on codes is drawn for the whole batch.
    missing = networks.processes.maximum(noised.shape[1]) - noised.shape[1]
    if missing:
        noised = np.pad(noised, ((0, 0), (0, missing)), constant_values=PAD_ID)
    return torch.from_numpy(noised).to(networks.device), torch.from_numpy(noised_lengths).to(networks.device)
