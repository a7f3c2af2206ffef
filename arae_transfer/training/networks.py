"""The networks of a run: the loss and the update of each."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from arae_transfer.errors import AraeError
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tasks import task_of
from arae_transfer.tokenizer import END_ID, PAD_ID, UNKNOWN_ID
from arae_transfer.training import losses
from arae_transfer.training.batch import Batch, LabelledBatch
from arae_transfer.training.code_statistics import code_statistics
from arae_transfer.training.early_gradients import take_gradients
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.processes import ALONE, Processes
from arae_transfer.training.sparse_gradients import gradient_values

Metrics = dict[str, float]

# Fewer rows leave less padding, more rows make larger matrix products.
ROWS_ENCODED_TOGETHER = 64

MOST_KEPT = 2
"""The maximum number of decoders whose graphs are kept until all losses of a step are summed."""


class TrainingDiverged(AraeError):
    """A loss or gradient is no longer finite."""


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let gradients flow through a network without accumulating its own."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in module.parameters():
            parameter.requires_grad_(True)


class Networks:
    """The networks of a run with their optimizers; schedules call them in turn.

    Attributes:
        code_noise: The standard deviation of the noise on the code at the current step.
        rewriting: The model that rewrites for the cycle: the moving average, if there is one.
        tokens_at_once: The maximum number of positions of a batch that encoder and decoders process at once.
        noise: The random generator of noise on codes, for the generator and for the penalty; None: the device's default
            one.
        processes: The processes that train the model.
    """

    def __init__(
        self,
        model: ARAE,
        recipe: Recipe,
        optimizers: Optimizers,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.optimizers = optimizers
        self.device = device
        # Perceptrons read pixels, and keep far less memory for each than an LSTM does for a token.
        self.tokens_at_once = recipe.training.tokens_at_once if recipe.data.kind == "text" else sys.maxsize
        self.code_noise = recipe.model.code_noise
        self.rewriting = model
        self.noise: torch.Generator | None = None
        self.processes = processes
        self._learns_style = task_of(recipe).learns_style
        self._autoencoder_parameters = [each for each in model.autoencoder_parameters() if each.requires_grad]
        self._collected = False

    # --- encoder and decoders ---------------------------------------------------------------------------------

    def encode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode without noise on the code; see ``Encoder.forward``."""
        code, mask = self.model.encoder(tokens, lengths)
        return code, mask

    def encode_together(self, batches: Sequence[Batch]) -> list[tuple[Tensor, Tensor]]:
        """Encode undamaged sentences of several batches together; see ``encode``.

        Random batches hold sentences of all lengths, and most of their positions are padding. A single code does not
        depend on the padding, so sentences of similar lengths are encoded together.
        """
        if not (self.model.encoder.single and self.model.encoder.pads):
            return [self.encode(batch.tokens, batch.lengths) for batch in batches]
        lengths = torch.cat([batch.lengths for batch in batches])  # (all rows,)
        time = max(batch.tokens.size(1) for batch in batches)
        tokens = torch.cat(
            [nn.functional.pad(batch.tokens, (0, time - batch.tokens.size(1)), value=PAD_ID) for batch in batches]
        )  # (all rows, time)
        order = lengths.argsort(stable=True)
        longest = lengths[order].tolist()
        # A GPU does all rows in the time of some of them.
        together = ROWS_ENCODED_TOGETHER if order.device.type == "cpu" else len(order)
        parts = []
        for start in range(0, len(order), together):
            rows = order[start : start + together]
            parts.append(self.encode(tokens[rows, : longest[start + len(rows) - 1]], lengths[rows]))
        code = torch.cat([part for part, _ in parts])[order.argsort()]  # (all rows, 1, size)
        mask = torch.cat([part for _, part in parts])  # (all rows, 1), true everywhere
        ends = np.cumsum([len(batch.lengths) for batch in batches]).tolist()
        starts = [0, *ends[:-1]]
        return [(code[start:end], mask[start:end]) for start, end in zip(starts, ends, strict=True)]

    def with_code_noise(self, code: Tensor, mask: Tensor) -> Tensor:
        """Add Gaussian noise to real code vectors (paper, Section 3: smoothing the discrete space)."""
        if self.code_noise == 0.0:
            return code
        noise = self._draw(torch.randn, len(code), *code.shape[1:], dtype=code.dtype)
        return code + noise * self.code_noise * mask[:, :, None]

    def reconstruct(self, code: Tensor, mask: Tensor, batch: Batch, sentence_weights: Tensor | None = None) -> Tensor:
        """Decode each sentence with its own class's decoder, and return the mean loss over tokens and classes."""
        training, total = self.recipe.training, code.new_zeros(())
        decoders = len(self.model.decoders)
        early = decoders > MOST_KEPT and torch.is_grad_enabled()
        for index in range(decoders):
            rows = batch.rows_of(index)
            own = code[rows]
            read = own.detach().requires_grad_() if early else own
            # A class's own longest row bounds its work.
            time = int(batch.lengths[rows].max())
            targets = batch.tokens[rows, :time]  # (rows, time)
            logits, wanted = self.model.decoders[index](
                targets,
                read,
                mask[rows],
                self.recipe.model.word_dropout,
                batch.token_subset,
                batch.subset_offsets,
            )
            weights = None
            if sentence_weights is not None:
                weights = sentence_weights[rows][:, None].expand(-1, time)[targets != PAD_ID]
            loss = losses.reconstruction_loss(logits, wanted, weights, training.label_smoothing)
            if early:
                parameters = list(self.model.decoders[index].parameters())
                with self._whole_precision():
                    loss = take_gradients(loss, [read, *parameters], [own, *parameters])
            total = total + (loss if batch.token_shares is None else loss * batch.token_shares[index])
        return total / decoders

    def collect_gradients(self, loss: Tensor) -> Tensor:
        """Accumulate a loss's gradients for the next update of encoder and decoders, and return its detached value."""
        if not torch.isfinite(loss):
            raise TrainingDiverged(
                "the loss of the encoder and decoders is no longer finite",
                "lower training.learning_rate or adversary.weight; the last good checkpoint is kept.",
            )
        if not self._collected:
            self.optimizers.autoencoder.zero_grad(set_to_none=True)
            self._collected = True
        self._backward(loss)
        return loss.detach()

    def update_autoencoder(self, loss: Tensor) -> float:
        """Update encoder and decoders with a loss and accumulated gradients; return the norm before clipping."""
        if loss.requires_grad or not self._collected:
            self.collect_gradients(loss)
        self._collected = False
        self.processes.average_gradients(self._autoencoder_parameters)
        gradients = gradient_values(self._autoencoder_parameters)
        norm = float(nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm):
            raise TrainingDiverged(
                "the gradient of the encoder and decoders is no longer finite",
                "lower training.learning_rate or training.gradient_clip; the last good checkpoint is kept.",
            )
        if norm > self.recipe.training.gradient_clip:
            # torch's own clip_grad_norm_ multiplies short gradients, too: by one.
            torch._foreach_mul_(gradients, self.recipe.training.gradient_clip / (norm + 1e-6))
        self.optimizers.autoencoder.step()
        return norm

    # --- generator and critic ---------------------------------------------------------------------------------

    def _whole_precision(self) -> torch.autocast:
        """Switch bfloat16 off for small networks, where rounding the weights costs more than it saves.

        Also, the differences that critic and penalty depend on are below the resolution of bfloat16.
        """
        return torch.autocast(self.device.type, enabled=False)

    def _backward(self, loss: Tensor) -> None:
        """Compute gradients, each part in the precision of its loss.

        Within autocast the matmuls of the backward pass would also be rounded to bfloat16, even those of critic and
        penalty.
        """
        with self._whole_precision():
            torch.autograd.backward(loss)

    def generate(self, mask: Tensor) -> Tensor:
        """Generate codes of the same shape as real ones: (batch, vectors) to (batch, vectors, size)."""
        rows, mask = len(mask), self.processes.whole_mask(mask, len(self.model.classes))
        noise = torch.randn(len(mask), self.recipe.adversary.noise_size, device=mask.device, generator=self.noise)
        code: Tensor = self.model.generator(noise, mask)
        return code[self._own_rows(rows)]

    def update_critic(self, real: Tensor, mask: Tensor) -> Metrics:
        """Update the critic: raise its score of real codes over generated ones, under the Lipschitz constraint."""
        adversary = self.recipe.adversary
        with self._whole_precision():
            real = real.detach().float()
            with torch.no_grad():
                generated = self.generate(mask)
            # It scores each sentence by itself, so both go through it at once.
            scores = self.model.critic(torch.cat([real, generated]), torch.cat([mask, mask]))
            loss = losses.critic_loss(*scores.chunk(2))
            metrics = {"critic": float(loss.detach())}
            if adversary.constraint == "gradient-penalty":
                mixture = self._draw(torch.rand, len(real))
                penalty = losses.gradient_penalty(self.model.critic, real, generated, mask, mixture)
                metrics["penalty"] = float(penalty.detach())
                loss = loss + adversary.penalty * penalty
        self._update(loss, self.optimizers.critic, "critic", "adversary.learning_rate")
        if adversary.constraint == "clip":
            losses.clip_weights(self.model.critic, adversary.clip)
        return metrics

    def update_generator(self, mask: Tensor) -> Metrics:
        """Update the generator: raise the critic's score of generated codes."""
        with frozen(self.model.critic), self._whole_precision():
            generated = self.generate(mask)
            loss = losses.generator_loss(self.model.critic(generated, mask))
            self._update(loss, self.optimizers.generator, "generator", "adversary.learning_rate")
        return {"generator": float(loss.detach()), **code_statistics("generated", generated.detach(), mask)}

    def adversarial_term(self, code: Tensor, mask: Tensor) -> Tensor:
        """Return the critic's term in the encoder's loss, without its weight."""
        with frozen(self.model.critic), self._whole_precision():
            return losses.encoder_adversarial_loss(self.model.critic(code, mask))

    # --- attribute classifier ---------------------------------------------------------------------------------

    def update_classifier(self, code: Tensor, mask: Tensor, classes: Tensor) -> Metrics:
        """Update the classifier of codes."""
        with self._whole_precision():
            logits = self.model.classifier(code.detach().float(), mask)
            loss = losses.classifier_loss(logits, classes)
        self._update(loss, self.optimizers.classifier, "classifier", "attribute.learning_rate")
        accuracy = (logits.argmax(1) == classes).float().mean()
        return {"classifier": float(loss.detach()), "classifier_accuracy": float(accuracy)}

    def confusion_term(self, code: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
        """Return the fooled classifier's term in the encoder's loss, without its weight."""
        with frozen(self.model.classifier), self._whole_precision():
            return losses.classifier_confusion_loss(self.model.classifier(code.float(), mask), classes)

    # --- labels ---------------------------------------------------------------------------------------------------

    def label_term(self, examples: LabelledBatch) -> tuple[Tensor, Metrics]:
        """Return the classifier's loss on labelled examples, without its weight; its gradient reaches the encoder."""
        codes = [self.encode(tokens, lengths) for tokens, lengths in examples.sentences]
        logits = self.model.classifier(codes)
        loss = losses.classifier_loss(logits, examples.classes)
        accuracy = (logits.argmax(1) == examples.classes).float().mean()
        return loss, {"labels": float(loss.detach()), "label_accuracy": float(accuracy)}

    # --- the cycle --------------------------------------------------------------------------------------------

    def update_scorer(self, batch: Batch) -> Metrics:
        """Update the style scorer on real sentences, if the task has several classes of text."""
        if not self._learns_style:
            return {}
        mask = (batch.tokens != PAD_ID) & (batch.tokens != END_ID)
        with self._whole_precision():
            logits = self.model.scorer(batch.tokens, mask)
            loss = losses.classifier_loss(logits, batch.classes)
        self._update(loss, self.optimizers.scorer, "style scorer", "training.batch_size")
        return {"scorer_accuracy": float((logits.argmax(1) == batch.classes).float().mean())}

    def update_quality(self, loss: Tensor) -> None:
        """Update the quality estimator."""
        assert self.optimizers.quality is not None
        self._update(loss, self.optimizers.quality, "quality estimator", "training.learning_rate")

    @torch.no_grad()
    def rewrites(
        self, batch: Batch, sources: Tensor, source_lengths: Tensor, shift: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rewrite each class into the class ``shift`` positions further.

        Args:
            batch: The batch whose rows the sources are.
            sources: (rows, time) what is rewritten, with end ids.
            source_lengths: (rows,).
            shift: The offset of the target class's index.

        Returns:
            Tokens (rows, time) without end ids, lengths (rows,) of at least 1, and the scorer's probability (rows,)
            that the rewrite has its class.
        """
        number = len(self.model.classes)
        was_training = self.rewriting.training
        self.rewriting.eval()
        parts: list[Tensor] = []
        code, mask = self.rewriting.encoder(sources, source_lengths)
        for index in range(number):
            rows = batch.rows_of(index)
            bound = int(batch.lengths[rows].max()) + self.recipe.cycle.extra_tokens
            bound = min(bound, self.model.maximum_vectors - 1)
            decoder = self.rewriting.decoder((index + shift) % number)
            parts.append(decoder.greedy(code[rows], mask[rows], bound, batch.token_subset))
        self.rewriting.train(was_training)
        time = max(part.size(1) for part in parts)
        tokens = torch.cat(
            [nn.functional.pad(part, (0, time - part.size(1)), value=PAD_ID) for part in parts]
        )  # (rows, time)
        tokens = tokens.masked_fill(tokens == END_ID, PAD_ID)
        lengths = (tokens != PAD_ID).sum(1)
        # An empty rewrite stands as one unknown token, because the encoder reads at least one.
        empty = lengths == 0
        tokens[empty, 0] = UNKNOWN_ID
        lengths = lengths.clamp(min=1)
        self.model.scorer.eval()
        scores = self.model.scorer(tokens, tokens != PAD_ID).softmax(1)  # (rows, classes)
        self.model.scorer.train()
        wanted = (batch.classes + shift) % number
        return tokens, lengths, scores.gather(1, wanted[:, None])[:, 0]

    # ----------------------------------------------------------------------------------------------------------

    def _update(self, loss: Tensor, optimizer: torch.optim.Optimizer, network: str, key: str) -> None:
        if not torch.isfinite(loss):
            raise TrainingDiverged(
                f"the loss of the {network} is no longer finite",
                f"lower {key}; the last good checkpoint is kept.",
            )
        optimizer.zero_grad(set_to_none=True)
        self._backward(loss)
        self.processes.average_gradients(weight for group in optimizer.param_groups for weight in group["params"])
        optimizer.step()

    def _own_rows(self, rows: int) -> slice | Tensor:
        """Return the indices of this process's rows in a batch over all processes."""
        if self.processes.size == 1:
            return slice(None)
        places = self.processes.rows(rows * self.processes.size, len(self.model.classes))
        return torch.from_numpy(places).to(self.device)

    def _draw(self, draw: Callable[..., Tensor], rows: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Draw for the rows of all processes, and return those of this process."""
        size = (rows * self.processes.size, *shape)
        drawn = draw(size, device=self.device, dtype=dtype, generator=self.noise)
        return drawn[self._own_rows(rows)]
