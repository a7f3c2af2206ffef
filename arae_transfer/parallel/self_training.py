"""Self-training: an earlier model generates rewrites, and scores rewrites of other origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from arae_transfer.corpus.batches import TokenizedSentences, with_end
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.model.arae import ARAE
from arae_transfer.parallel.options import SelfTraining
from arae_transfer.recipe import InputNoise
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer
from arae_transfer.training.input_noise import add_input_noise

_BATCH = 256
DEFAULTS = SelfTraining()


class SelfTrainingGenerator:
    """Generates several rewrites per sentence, from greedy to bold.

    Bolder means that the difference between the two classes' decoders is amplified, or that style-bearing tokens are
    removed from the sentence; after these, samples are drawn.
    """

    def __init__(
        self,
        model: ARAE,
        tokenizer: Tokenizer,
        style: StyleTokens | None,
        count: int,
        seed: int,
        progress: Callable[[int, int], None],
        precision: str = "fp32",
        options: SelfTraining = DEFAULTS,
    ) -> None:
        """Prepare generation with a trained model.

        Args:
            model: The model, in evaluation mode.
            tokenizer: Its tokenizer.
            style: The style-bearing tokens; None: sentences are not damaged.
            count: The number of rewrites of each sentence; some may be equal.
            seed: The seed of everything random.
            progress: Called with the finished and all sentences of a direction.
            precision: ``bf16``: matmuls are rounded, for speed; ``fp32``: they are not.
            options: How bold the rewrites are.
        """
        self._options = options
        # The first rewrites: how far the decoder of the target class moves away from that of the sentence's own, and
        # whether the sentence's style-bearing tokens are missing from what it reads: they cannot be copied then.
        self._first = [*((each, False) for each in options.amplifications), (0.0, True)]
        self._model = model
        self._tokenizer = tokenizer
        self._style = style
        self._count = count
        self._seed = seed
        self._progress = progress
        self._device = next(model.parameters()).device
        self._rounds = precision == "bf16"

    @torch.no_grad()
    def generate(self, sentences: Sequence[str], source: int, target: int) -> list[list[str]]:
        """Return distinct rewrites of each sentence of a class.

        Args:
            sentences: Sentences of the class.
            source: The index of their class.
            target: The index of the target class.

        Returns:
            The rewrites of each sentence; none for one that is too long for the model.
        """
        model, device, options = self._model, self._device, self._options
        longest = model.maximum_vectors - options.extra_tokens
        found: list[dict[str, None]] = [{} for _ in sentences]
        numbers = self._tokenizer.encode_lines(sentences)
        rows = [row for row, own in enumerate(numbers) if 0 < len(own) < longest]
        corpus = TokenizedSentences.join([numbers[row] for row in rows])
        generator = np.random.default_rng([self._seed, 7, source, target])
        draws = torch.Generator(device).manual_seed(int(generator.integers(2**31)))
        # Sentences of one length together, so that few steps are padding.
        order = np.argsort(corpus.lengths, kind="stable")
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            whole, lengths = corpus.padded(chosen)
            bound = min(int(lengths.max()) + 1 + options.extra_tokens, model.maximum_vectors)
            for number in range(self._count):
                drawn = number >= len(self._first)
                amplification, damaged = (options.sample_amplification, False) if drawn else self._first[number]
                tokens, kept = whole, lengths
                if damaged and self._style is not None:
                    damage = InputNoise(style_share=1.0, style_drop=options.delete)
                    classes = np.full(len(chosen), source)
                    tokens, kept = add_input_noise(whole, lengths, classes, damage, self._style, generator)
                read, read_lengths = (torch.from_numpy(array).to(device) for array in with_end(tokens, kept))
                with self._precision():
                    code, mask = model.encoder(read, read_lengths)
                    ids = model.decoder(target).sample(
                        code,
                        mask,
                        bound,
                        temperature=options.temperature if drawn else 0.0,
                        generator=draws,
                        against=model.decoder(source) if amplification else None,
                        amplification=amplification,
                    )
                # A row without an end was cut off.
                whole_rows = (ids == END_ID).any(1).tolist()
                rewrites = self._tokenizer.decode_rows(ids.tolist())
                for place, rewrite, ended in zip(chosen.tolist(), rewrites, whole_rows, strict=True):
                    if ended:
                        found[rows[place]].setdefault(rewrite)
            self._progress(min(start + _BATCH, len(order)), len(order))
        return [list(own) for own in found]

    @torch.no_grad()
    def log_probabilities(
        self, sentences: Sequence[str], rewrites: Sequence[str], source: int, target: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the model's log-probabilities of rewrites.

        Args:
            sentences: Sentences of a class; one may occur several times.
            rewrites: A rewrite of each.
            source: The index of the sentences' class.
            target: The index of the rewrites' class.

        Returns:
            (sentences,) the log-probability of each rewrite given its sentence, end included, in nats, and of the
            sentence given the rewrite; minus infinity if one of the two is too long for the model or empty.
        """
        numbers = [self._tokenizer.encode_lines(lines) for lines in (sentences, rewrites)]
        fits = [all(0 < len(own) < self._model.maximum_vectors for own in pair) for pair in zip(*numbers, strict=True)]
        rows = np.flatnonzero(fits)
        results = [np.full(len(sentences), -np.inf) for _ in range(2)]
        if not len(rows):
            return results[0], results[1]
        texts = [TokenizedSentences.join([own[row] for row in rows]) for own in numbers]
        # What is read may be padded; rows of one length together keep that short.
        order = np.argsort(texts[0].lengths, kind="stable")
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            first, second = (self._with_end(text, chosen) for text in texts)
            with self._precision():
                results[0][rows[chosen]] = self._log_probability(first, second, target)
                results[1][rows[chosen]] = self._log_probability(second, first, source)
        return results[0], results[1]

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._rounds)

    def _with_end(self, text: TokenizedSentences, rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, lengths = (torch.from_numpy(array).to(self._device) for array in with_end(*text.padded(rows)))
        return tokens, lengths

    def _log_probability(
        self, read: tuple[torch.Tensor, torch.Tensor], written: tuple[torch.Tensor, torch.Tensor], label: int
    ) -> npt.NDArray[np.float64]:
        """Return the (batch,) log-probability of a class's decoder output, given the encoder's input."""
        code, mask = self._model.encoder(*read)
        targets = written[0]
        logits, columns = self._model.decoder(label)(targets, code, mask)
        entropies = targets.new_zeros(targets.shape, dtype=torch.float64)
        entropies[targets != PAD_ID] = functional.cross_entropy(logits.float(), columns, reduction="none").double()
        result: npt.NDArray[np.float64] = -entropies.sum(1).cpu().numpy()
        return result
