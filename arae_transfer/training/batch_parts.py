"""A step's batch, part by part.

Until the backward pass of a loss, all activations are kept in memory: gigabytes for four classes of 128 long sentences.
The gradient of a mean is the mean of the gradients of its parts, so encoder and decoders process a long batch in parts
of bounded size, with a backward pass for each part before the next one. The step is that of the whole batch, except for
the random numbers of dropout and noise, and for the last digits of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from arae_transfer.training.batch import Batch
from arae_transfer.training.networks import Metrics, Networks

# (rows, vectors, size) and their mask (rows, vectors).
Code = tuple[Tensor, Tensor]
Encode = Callable[[Batch], Code]
# The terms of the loss on a part, each with its name and its weight; each counts as much as the part does.
Terms = Callable[[Batch, Code], Iterator[tuple[str, float, Tensor]]]


@dataclass(frozen=True)
class PartsSum:
    """The combined results of the parts of a batch.

    Attributes:
        loss: The weighted sum of the terms. With a single part its gradients are not yet computed; with several they
            are accumulated already.
        metrics: The value of each term, without its weight.
        code: (rows, vectors, size) of the whole batch, without gradients.
        mask: (rows, vectors).
    """

    loss: Tensor
    metrics: Metrics
    code: Tensor
    mask: Tensor


def sum_parts(
    networks: Networks,
    batch: Batch,
    encode: Encode,
    terms: Terms,
    before: Callable[[Tensor, Tensor], None] | None = None,
) -> PartsSum:
    """Encode a batch and add up its loss, in parts of at most ``training.tokens_at_once`` positions.

    Args:
        networks: The networks.
        batch: The batch.
        encode: Encodes a part.
        terms: Computes the terms of the loss on a part.
        before: Called with code and mask of the whole batch before any term is computed.
    """
    parts = batch.parts(networks.tokens_at_once)
    order = torch.cat([part.places for part in parts]).argsort()
    if before is not None and len(parts) > 1:
        with torch.no_grad():
            whole = _join([encode(part.batch) for part in parts], order)
        before(*whole)
    metrics: Metrics = {}
    codes: list[Code] = []
    total: Tensor | None = None
    for part in parts:
        code, mask = encode(part.batch)
        codes.append((code.detach(), mask))
        if before is not None and len(parts) == 1:
            before(code, mask)
        loss = 0.0 * code.sum()  # where nothing else asks for anything, nothing changes
        for number, (name, weight, value) in enumerate(terms(part.batch, (code, mask))):
            loss = loss + weight * value if number else weight * value
            metrics[name] = metrics.get(name, 0.0) + float(value.detach())
        if len(parts) > 1:
            loss = networks.collect_gradients(loss)
        total = loss if total is None else total + loss
    assert total is not None
    return PartsSum(total, metrics, *(codes[0] if len(codes) == 1 else _join(codes, order)))


def _join(codes: list[Code], order: Tensor) -> Code:
    """Put the codes of the parts together, in the order of the batch."""
    return torch.cat([code for code, _ in codes])[order], torch.cat([mask for _, mask in codes])[order]
