"""Token ids of labelled sentences, and batches of them as a pure function of seed and step.

Because the batch of a step depends on nothing but the seed and the step's number, a resumed run sees exactly the
batches that an uninterrupted one would have seen, and no position needs to be stored but that number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.tokenizer import END_ID, PAD_ID

IntegerArray = npt.NDArray[np.int64]

# Batches that are cut from one pool of sentences sorted by length: enough that a batch holds equal lengths, few
# enough that pools differ from epoch to epoch.
BATCHES_PER_POOL = 64
_COUNTED_TOGETHER = 1 << 22


class BatchSource(Protocol):
    """Source of batches: sentences as token ids, or images as pixel levels."""

    def __len__(self) -> int: ...

    def lengths_of(self, indices: IntegerArray) -> IntegerArray:
        """Return the numbers of tokens of the sentences with these indices."""

    def whole(self, indices: IntegerArray) -> tuple[IntegerArray, IntegerArray]:
        """Return the sentences with these indices as the encoder reads them: (batch, time) ids and (batch,) lengths."""


@dataclass(frozen=True)
class TokenizedSentences:
    """Sentences of one class as one flat array of ids.

    Attributes:
        ids: All tokens one after the other, int32, without begin and end ids.
        starts: (sentences + 1,) where each sentence begins; the last entry is the end of the last sentence.
        too_long: How many sentences were left out because they have too many tokens.
    """

    ids: npt.NDArray[np.int32]
    starts: IntegerArray
    too_long: int = 0

    @classmethod
    def join(cls, sentences: Sequence[Sequence[int]]) -> TokenizedSentences:
        """Concatenate the ids of sentences."""
        starts = np.zeros(len(sentences) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in sentences], out=starts[1:])
        flat = np.fromiter(chain.from_iterable(sentences), np.int32, int(starts[-1]))
        return cls(flat, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> IntegerArray:
        """Number of tokens of each sentence."""
        return np.diff(self.starts)

    def lengths_of(self, indices: IntegerArray) -> IntegerArray:
        """Return the number of tokens of some sentences: (sentences,) to (sentences,)."""
        return self.starts[indices + 1] - self.starts[indices]

    def token_counts(self, vocabulary_size: int) -> IntegerArray:
        """Return how often each token occurs: (vocabulary,)."""
        counts = np.zeros(vocabulary_size, dtype=np.int64)
        # Block by block: counting makes eight bytes of each token.
        for start in range(0, len(self.ids), _COUNTED_TOGETHER):
            counts += np.bincount(self.ids[start : start + _COUNTED_TOGETHER], minlength=vocabulary_size)
        return counts

    def whole(self, indices: IntegerArray) -> tuple[IntegerArray, IntegerArray]:
        """Return sentences with their end ids as (batch, time) ids, padded at the right, and (batch,) lengths."""
        return with_end(*self.padded(indices))

    def padded(self, indices: IntegerArray) -> tuple[IntegerArray, IntegerArray]:
        """Return sentences as (batch, time) ids with the pad id at the right, and (batch,) lengths.

        The end id is not included.
        """
        lengths = self.lengths_of(indices)  # (batch,)
        columns = np.arange(int(lengths.max(initial=0)))  # (time,)
        real = columns < lengths[:, None]  # (batch, time)
        places = np.where(real, self.starts[indices][:, None] + columns, 0)  # (batch, time)
        return np.where(real, self.ids[places], PAD_ID).astype(np.int64), lengths


def with_end(tokens: IntegerArray, lengths: IntegerArray) -> tuple[IntegerArray, IntegerArray]:
    """Append the end id to each row: (batch, time) and (batch,) to (batch, time + 1) and (batch,)."""
    batch = len(tokens)
    longer = np.concatenate([tokens, np.full((batch, 1), PAD_ID, dtype=np.int64)], axis=1)
    longer[np.arange(batch), lengths] = END_ID
    return longer[:, : int(lengths.max()) + 1], lengths + 1


class BatchSchedule:
    """The batches of a training run: per step one batch of each class, with sentences of similar length.

    Sentences of each class come in a fresh random order per epoch of that class, so a small class is repeated more
    often and classes stay balanced. Pools of ``BATCHES_PER_POOL`` batches are sorted by length and cut, and the
    batches of a pool come in random order. A corpus much smaller than a pool stands in it many times, and a batch of
    equal lengths would be the same few sentences: give such a one pools of one batch.
    """

    def __init__(
        self,
        sentences: Mapping[str, BatchSource],
        batch_size: int,
        seed: int,
        batches_per_pool: int = BATCHES_PER_POOL,
    ) -> None:
        for name, corpus in sentences.items():
            if len(corpus) == 0:
                raise AraeError(
                    f"the class {name!r} has no sentence that is short enough",
                    "raise data.maximum_tokens, or add shorter sentences.",
                )
        self._sentences = list(sentences.values())
        self._batch_size = batch_size
        self._seed = seed
        self._batches_per_pool = batches_per_pool
        self._pool_number = -1
        self._pool: list[list[IntegerArray]] = []
        self._orders: dict[tuple[int, int], npt.NDArray[np.int32]] = {}

    def indices(self, step: int) -> list[IntegerArray]:
        """Return the sentence numbers of a step's batch, one array (batch_size,) per class."""
        number, place = divmod(step, self._batches_per_pool)
        if number != self._pool_number:
            self._pool = self._build_pool(number)
            self._pool_number = number
        return self._pool[place]

    def _build_pool(self, number: int) -> list[list[IntegerArray]]:
        by_class = []
        for index, sentences in enumerate(self._sentences):
            size = self._batches_per_pool * self._batch_size
            members = self._stream(index, number * size, size)
            ties = np.random.default_rng([self._seed, index, number, 1]).random(size)
            by_class.append(members[np.lexsort((ties, sentences.lengths_of(members)))])
        order = np.random.default_rng([self._seed, number, 2]).permutation(self._batches_per_pool)
        cuts = [slice(place * self._batch_size, (place + 1) * self._batch_size) for place in order]
        return [[members[cut] for members in by_class] for cut in cuts]

    def _stream(self, index: int, start: int, size: int) -> IntegerArray:
        """Read ``size`` positions of the endless concatenation of a class's shuffled epochs."""
        count = len(self._sentences[index])
        places = np.arange(start, start + size)
        epochs = places // count
        result = np.empty(size, dtype=np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            result[chosen] = self._order(index, int(epoch))[places[chosen] - epoch * count]
        return result

    def _order(self, index: int, epoch: int) -> npt.NDArray[np.int32]:
        key = (index, epoch)
        if key not in self._orders:
            # Only the latest orders are kept; a pool reads one epoch, or two at its seam (more for tiny classes).
            self._orders = {old: order for old, order in self._orders.items() if old[0] != index or old[1] == epoch - 1}
            generator = np.random.default_rng([self._seed, index, epoch, 0])
            # Half the bytes do for up to two thousand million sentences of a class.
            self._orders[key] = generator.permutation(len(self._sentences[index])).astype(np.int32)
        return self._orders[key]
