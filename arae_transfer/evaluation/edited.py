"""Rewrites by the encoder and decoders of an editing run, without an export."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.model.edit_decoder import EditDecoder
from arae_transfer.model.edit_search import edit_greedily
from arae_transfer.tokenizer import END_ID
from arae_transfer.training.checkpoint import LoadedRun

_BATCH = 128


class Editor:
    """Rewrites lines with an editing run.

    Attributes:
        run: What was loaded.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self._begins = torch.tensor(run.tokenizer.begins_word)

    @torch.no_grad()
    def reconstruct(self, lines: Sequence[str], labels: Sequence[str]) -> list[str]:
        """Return the greedy rewrite of each line to a class, with long lines truncated."""
        answers = [""] * len(lines)
        ids = self.run.tokenizer.encode_lines(list(lines))
        most = self.run.recipe.data.maximum_tokens - 1
        for index, label in enumerate(self.run.classes):
            decoder = self.run.model.decoders[index]
            assert isinstance(decoder, EditDecoder)
            chosen = [number for number, own in enumerate(labels) if own == label and ids[number]]
            chosen.sort(key=lambda number: len(ids[number]))
            for start in range(0, len(chosen), _BATCH):
                numbers = chosen[start : start + _BATCH]
                rows = TokenizedSentences.join([ids[number][:most] for number in numbers])
                tokens, lengths = map(torch.from_numpy, rows.whole(np.arange(len(numbers))))
                code, mask = self.run.model.encoder(tokens, lengths)
                allowed = self._begins[tokens]
                allowed[:, 0] = True
                written = edit_greedily(decoder, tokens, code, mask, allowed)
                texts = self.run.tokenizer.decode_rows([[*row, END_ID] for row in written])
                for number, text in zip(numbers, texts, strict=True):
                    answers[number] = text
        return answers
