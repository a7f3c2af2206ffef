"""Plain PyTorch rewriting with a run's weights, as a baseline for exported graphs. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from arae_transfer.bench.transfer import Rewrite
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.runtime.batching import pad
from arae_transfer.runtime.decoding import LONGEST_GROWTH
from arae_transfer.tokenizer import END_ID
from arae_transfer.training.checkpoint import load_run


def pytorch_loop(run: Path, to: str, threads: int) -> Rewrite:
    """Load the best checkpoint of a run, and return a function that rewrites lines to a class in batches.

    Lines are taken to be in the corpus's text format, are sorted by length as the runtime does, and are decoded back to
    text; fp32, one token a turn.

    Raises:
        AraeError: There is no such run.
    """
    loaded = load_run(run, "best")
    model, tokenizer = round_weights_for_storage(loaded.model, "fp32"), loaded.tokenizer
    target, most = model.classes.index(to), loaded.recipe.data.maximum_tokens
    torch.set_num_threads(threads)

    @torch.no_grad()
    def rewrite(lines: Sequence[str], size: int) -> list[str]:
        rows = [[*ids[: most - 1], END_ID] for ids in tokenizer.encode_lines(list(lines)) if ids]
        rows.sort(key=len, reverse=True)
        answers: list[str] = []
        for start in range(0, len(rows), size):
            tokens, lengths = map(torch.from_numpy, pad(rows[start : start + size]))
            found = model.rewrite(tokens, lengths, target, tokens.size(1) + LONGEST_GROWTH)
            answers += [tokenizer.decode(row) for row in found.tolist()]
        return answers

    return rewrite
