"""Encode and decode sentences with a run's trained networks, without noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from arae_transfer.corpus.batches import TokenizedSentences, with_end
from arae_transfer.model.decoder import mean_of_code
from arae_transfer.tokenizer import PAD_ID
from arae_transfer.training.checkpoint import LoadedRun

Floats = npt.NDArray[np.float64]
_BATCH = 128


@dataclass(frozen=True)
class Sentence:
    """A sentence and its class."""

    text: str
    label: str


@dataclass(frozen=True)
class VectorStatistics:
    """Statistics of the code vectors of many sentences.

    Attributes:
        covariance: (size, size) of all vectors.
        vectors: The mean number of vectors of a code.
    """

    covariance: Floats
    vectors: float


class Coder:
    """Encodes sentences, decodes codes, and measures the decoders' likelihood.

    Attributes:
        run: What was loaded.
        single: Whether a code is one vector.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.single = run.recipe.model.one_vector
        self._index = {label: index for index, label in enumerate(run.classes)}

    def fits(self, line: str) -> bool:
        """Return whether a line can be encoded: it is not blank, and not longer than training sentences."""
        return 0 < len(self.run.tokenizer.encode(line)) < self.run.recipe.data.maximum_tokens

    @torch.no_grad()
    def pooled(self, lines: Sequence[str]) -> Floats:
        """Return one vector per line, (lines, size): its code, or the mean of its code's vectors."""
        result: Floats = np.zeros((len(lines), self.run.recipe.model.code_size))
        for rows, tokens, lengths in self._batches(lines):
            code, mask = self.run.model.encoder(tokens, lengths)
            result[rows] = mean_of_code(code, mask).double().numpy()
        return result

    @torch.no_grad()
    def vector_statistics(self, lines: Sequence[str]) -> VectorStatistics:
        """Return the covariance of the lines' code vectors, and the number of vectors per code."""
        vectors = []
        for _, tokens, lengths in self._batches(lines):
            code, mask = self.run.model.encoder(tokens, lengths)
            vectors.append(code[mask].double().numpy())  # (real vectors, size)
        joined = np.concatenate(vectors)
        return VectorStatistics(np.cov(joined, rowvar=False, bias=True), len(joined) / len(lines))

    @torch.no_grad()
    def surprise(self, inputs: Sequence[str], targets: Sequence[Sentence]) -> tuple[Floats, Floats]:
        """Return the decoders' negative log-likelihood of targets, given the codes of inputs.

        Args:
            inputs: What is encoded.
            targets: What should come back, one for each input, by the decoder of its class.

        Returns:
            The negative log-likelihood of each target in nats, (sentences,), and its tokens, the end id included.
        """
        nll: Floats = np.zeros(len(inputs))
        counts: Floats = np.zeros(len(inputs))
        wanted_ids = self._tokenize([target.text for target in targets])
        for label, chosen in self._by_class(targets):
            decoder = self.run.model.decoder(self._index[label])
            for rows, tokens, lengths in self._batches([inputs[place] for place in chosen]):
                places = chosen[rows]
                code, mask = self.run.model.encoder(tokens, lengths)
                wanted = torch.from_numpy(with_end(*wanted_ids.padded(places))[0])  # (batch, time)
                logits, ids = decoder(wanted, code, mask)
                losses = functional.cross_entropy(logits, ids, reduction="none").double()  # (real positions,)
                real = wanted != PAD_ID
                table = torch.zeros(wanted.shape, dtype=torch.float64)
                table[real] = losses
                nll[places] = table.sum(1).numpy()
                counts[places] = real.sum(1).numpy()
        return nll, counts

    @torch.no_grad()
    def reconstruct(self, inputs: Sequence[str], labels: Sequence[str]) -> list[str]:
        """Reconstruct each line greedily with its own class's decoder."""
        answers = [""] * len(inputs)
        growth = self.run.recipe.cycle.extra_tokens
        targets = [Sentence(line, label) for line, label in zip(inputs, labels, strict=True)]
        for label, chosen in self._by_class(targets):
            decoder = self.run.model.decoder(self._index[label])
            for rows, tokens, lengths in self._batches([inputs[place] for place in chosen]):
                code, mask = self.run.model.encoder(tokens, lengths)
                ids = decoder.greedy(code, mask, tokens.size(1) + growth)
                for place, row in zip(chosen[rows].tolist(), ids.tolist(), strict=True):
                    answers[place] = " ".join(self.run.tokenizer.decode(row).split())
        return answers

    @torch.no_grad()
    def write(self, codes: Floats, label: str) -> list[str]:
        """Decode single-vector codes greedily with a class's decoder, (sentences, size)."""
        decoder = self.run.model.decoder(self._index[label])
        written: list[str] = []
        for start in range(0, len(codes), _BATCH):
            code = torch.from_numpy(codes[start : start + _BATCH]).float()[:, None]  # (batch, 1, size)
            ids = decoder.greedy(code, torch.ones(len(code), 1, dtype=torch.bool), self.run.recipe.data.maximum_tokens)
            written += [" ".join(self.run.tokenizer.decode(row).split()) for row in ids.tolist()]
        return written

    @torch.no_grad()
    def generated(self, lines: Sequence[str], seed: int) -> Floats:
        """Return generated codes, pooled, with as many vectors as the lines' codes: (lines, size)."""
        generator = self.run.model.generator
        random = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(lines), generator.noise_size, generator=random)
        lengths = torch.from_numpy(self._tokenize(lines).lengths) + 1
        vectors = 1 if self.single else int(lengths.max())
        mask = torch.arange(vectors) < lengths[:, None]  # (lines, vectors)
        pooled: Floats = mean_of_code(generator(noise, mask), mask).double().numpy()
        return pooled

    def _tokenize(self, lines: Sequence[str]) -> TokenizedSentences:
        return TokenizedSentences.join(self.run.tokenizer.encode_lines(list(lines)))

    def _batches(self, lines: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], Tensor, Tensor]]:
        """Yield the indices, ids and lengths of lines of similar length."""
        sentences = self._tokenize(lines)
        order = np.argsort(sentences.lengths, kind="stable")
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            tokens, lengths = with_end(*sentences.padded(rows))
            yield rows, torch.from_numpy(tokens), torch.from_numpy(lengths)

    def _by_class(self, sentences: Sequence[Sentence]) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
        for label in self.run.classes:
            chosen = np.flatnonzero([sentence.label == label for sentence in sentences])
            if len(chosen):
                yield label, chosen
