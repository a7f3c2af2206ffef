"""How natural rewrites are: learned by telling them from the sentences that people wrote, for the choice of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from arae_transfer.corpus.batches import BatchSchedule, TokenizedSentences
from arae_transfer.corpus.holdout import part_of
from arae_transfer.errors import AraeError
from arae_transfer.model.naturalness import SentenceDiscriminator
from arae_transfer.tokenizer import Tokenizer

# Whoever has seen a rewrite knows it for one. So the sentences are parted, and each part's rewrites are judged by a
# discriminator that learned from those of the other.
_PARTS = 2
# Rewrites of a sentence that are learned from: the best ones, between which the choice will be.
_LEARNED = 6
# Sentences, and rewrites, of a step; so many steps that each rewrite is seen once, and no fewer than these.
_BATCH, _LEAST_STEPS = 128, 200
_LEARNING_RATE, _WEIGHT_DECAY, _CLIP = 1e-3, 1e-2, 1.0
# The share of the steps in which the learning rate rises.
_WARM_UP = 0.1
# Of fewer sentences or rewrites nothing is to be learned.
_LEAST = 20
_JUDGED_AT_ONCE = 1024

Floats = npt.NDArray[np.float64]


class Naturalness:
    """Judges rewrites by discriminators that are trained for the purpose."""

    def __init__(
        self, tokenizer: Tokenizer, seed: int, device: torch.device, progress: Callable[[int, int], None]
    ) -> None:
        """Take what the discriminators are trained with.

        Args:
            tokenizer: Whose tokens they read.
            seed: The seed of everything random.
            device: Where they are trained.
            progress: Told the rewrites learned from, and all of them.
        """
        self._tokenizer = tokenizer
        self._seed = seed
        self._device = device
        self._progress = progress

    def log_probabilities(
        self, lines: Mapping[str, Sequence[str]], sentences: Sequence[str], rewrites: Sequence[Sequence[str]]
    ) -> list[Floats]:
        """Return how natural each rewrite is.

        Args:
            lines: What people wrote, of each class; the sentences are among it.
            sentences: The sentences that were rewritten.
            rewrites: The rewrites of each, the best first.

        Returns:
            For each sentence (rewrites,) the log-probability, in nats, that a discriminator which saw neither the
            sentence nor its rewrites takes the rewrite for something that somebody wrote.

        Raises:
            AraeError: There are too few of either to learn from.
        """
        parts = [part_of(sentence, _PARTS) for sentence in sentences]
        known = set(sentences)
        written = self._written(lines)
        corpora = []
        for part in range(_PARTS):
            real = [line for line in written if line not in known or part_of(line, _PARTS) != part]
            made = [
                rewrite
                for own, own_part in zip(rewrites, parts, strict=True)
                if own_part != part
                for rewrite in own[:_LEARNED]
            ]
            if min(len(real), len(made)) < _LEAST:
                raise AraeError(
                    f"{len(real):,} sentences and {len(made):,} rewrites are too few to learn how natural rewrites are",
                    "set pairs.naturalness=0, or give more sentences.",
                )
            corpora.append((self._tokenize(real), self._tokenize(made)))
        steps = [max(_LEAST_STEPS, -(-len(made) // _BATCH)) for _, made in corpora]
        found: list[Floats] = [np.empty(0)] * len(sentences)
        for part, (real_tokens, made_tokens) in enumerate(corpora):
            model = self._train(part, real_tokens, made_tokens, sum(steps[:part]), steps[part], sum(steps))
            rows = [row for row, own in enumerate(parts) if own == part]
            judged = self._judge(model, [rewrite for row in rows for rewrite in rewrites[row]])
            cuts = np.cumsum([len(rewrites[row]) for row in rows])[:-1]
            for row, own in zip(rows, np.split(judged, cuts), strict=True):
                found[row] = own
        return found

    def _written(self, lines: Mapping[str, Sequence[str]]) -> list[str]:
        """Draw as many different lines of each class, or a rare class's style would be taken for a rewrite's."""
        distinct = [list(dict.fromkeys(line for line in own if line)) for own in lines.values()]
        share = min(len(own) for own in distinct)
        generator = np.random.default_rng([self._seed, 8])
        return [own[row] for own in distinct for row in np.sort(generator.permutation(len(own))[:share])]

    def _tokenize(self, lines: Sequence[str]) -> TokenizedSentences:
        return TokenizedSentences.join([own for own in self._tokenizer.encode_lines(lines) if len(own)])

    def _train(
        self,
        part: int,
        written: TokenizedSentences,
        made: TokenizedSentences,
        before: int,
        steps: int,
        all_steps: int,
    ) -> SentenceDiscriminator:
        """Train a discriminator for the sentences of a part."""
        schedule = BatchSchedule({"written": written, "made": made}, _BATCH, self._seed + part)
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(self._seed + part)
            model = SentenceDiscriminator(self._tokenizer.vocabulary_size).to(self._device)
            optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True)
            rates = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: min(1.0, (step + 1) / (_WARM_UP * steps)) * max(0.02, 1.0 - step / steps)
            )
            is_written = torch.cat([torch.ones(_BATCH), torch.zeros(_BATCH)]).to(self._device)
            for step in range(steps):
                rows, made_rows = schedule.indices(step)
                odds = torch.cat([model(self._padded(written, rows)), model(self._padded(made, made_rows))])
                loss = functional.binary_cross_entropy_with_logits(odds, is_written)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                clip_grad_norm_(model.parameters(), _CLIP)
                optimizer.step()
                rates.step()
                self._progress((before + step + 1) * _BATCH, all_steps * _BATCH)
        return model.eval()

    @torch.inference_mode()
    def _judge(self, model: SentenceDiscriminator, rewrites: Sequence[str]) -> Floats:
        """Return the log-probability that somebody wrote each rewrite; one without tokens nobody wrote."""
        numbers = self._tokenizer.encode_lines(rewrites)
        judged = np.full(len(rewrites), -np.inf)
        rows = np.array([row for row, own in enumerate(numbers) if len(own)], np.int64)
        if not len(rows):
            return judged
        text = TokenizedSentences.join([numbers[row] for row in rows])
        order = np.argsort(text.lengths, kind="stable")
        for start in range(0, len(order), _JUDGED_AT_ONCE):
            chosen = order[start : start + _JUDGED_AT_ONCE]
            judged[rows[chosen]] = functional.logsigmoid(model(self._padded(text, chosen))).double().cpu().numpy()
        return judged

    def _padded(self, text: TokenizedSentences, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(text.padded(rows)[0]).to(self._device)
