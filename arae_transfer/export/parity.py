"""Parity of exported graphs with the trained model: both rewrite the same sentences, compared token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from arae_transfer.errors import AraeError
from arae_transfer.export.graph_files import GraphFiles
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.batching import pad
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID, Tokenizer

# An export is refused when fewer rewrites are those of the model, near ties apart, or when a code differs by more.
# fp32 sums in another order move a code by about 1e-7 and a logit by about 1e-5.
REQUIRED_SHARE = 0.995
GREATEST_CODE_DIFFERENCE = 1e-4
# Two tokens whose logits differ by less are a near tie: either is an answer of the model.
NEAR_TIE = 1e-3

LEAST_PROBES = 128
MOST_PROBES = 512
# Alone, in a few, in full batches: the sizes in which the probes go through the graphs.
BATCH_SIZES = (1, 7, 64)
_ALONE = 32
_SEED = 1111

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Row = list[int]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Parity:
    """The comparison of the graphs' answers with the model's.

    Attributes:
        probe_lines: The sentences given.
        random_lines: The further sequences drawn at random.
        compared: Rewrites compared: every sentence to every class, in batches of several sizes.
        identical: Rewrites that are the model's, token by token.
        near_ties: Rewrites that first differ from the model's at a near tie of two tokens.
        code_difference: The maximum absolute difference of a code dimension.
        unrounded_identical: The share of rewrites that rounding the weights for storage does not change.
        torch_version: The version of PyTorch, which runs the model.
        onnxruntime_version: The version of onnxruntime, which runs the graphs.
    """

    probe_lines: int
    random_lines: int
    compared: int
    identical: int
    near_ties: int
    code_difference: float
    unrounded_identical: float
    torch_version: str = torch.__version__
    onnxruntime_version: str = onnxruntime.__version__

    @property
    def different(self) -> int:
        """The number of rewrites that are neither identical nor near ties."""
        return self.compared - self.identical - self.near_ties

    def require(self) -> None:
        """Raise an error if the answers differ from the model's.

        Raises:
            AraeError: Too many rewrites differ, or a code differs.
        """
        share = (self.compared - self.different) / self.compared
        # Written so that a difference that is not a number is refused too.
        if share >= REQUIRED_SHARE and self.code_difference <= GREATEST_CODE_DIFFERENCE:
            return
        raise AraeError(
            f"the exported graphs do not answer as the model does: {self.different:,} of {self.compared:,} rewrites "
            f"differ, and codes by up to {self.code_difference:.1g}; nothing was written",
            f"this is a fault of arae, of torch {self.torch_version} or of onnxruntime {self.onnxruntime_version}: "
            "try other versions, and report it.",
        )

    def to_table(self) -> dict[str, Any]:
        """Return the figures with their bounds as JSON types."""
        return {
            "probe_lines": self.probe_lines,
            "random_lines": self.random_lines,
            "compared": self.compared,
            "identical": self.identical,
            "near_ties": self.near_ties,
            "different": self.different,
            "code_difference": float(f"{self.code_difference:.3g}"),
            "unrounded_identical": round(self.unrounded_identical, 4),
            "required_share": REQUIRED_SHARE,
            "greatest_code_difference": GREATEST_CODE_DIFFERENCE,
            "near_tie": NEAR_TIE,
            "batch_sizes": list(BATCH_SIZES),
            "torch": self.torch_version,
            "onnxruntime": self.onnxruntime_version,
        }


def probe_rows(
    lines: Sequence[str], tokenizer: Tokenizer, maximum_tokens: int, most: int = MOST_PROBES
) -> tuple[list[Row], int]:
    """Return the rows of ids, each with its end id, on which an export is checked.

    If there are many lines, evenly spaced ones are taken. If there are few, random sequences of all lengths join them,
    so that every export is checked, also at rare lengths; frequent tokens occur more often in them.

    Args:
        lines: Sentences in the corpus's text format; blank ones are ignored.
        tokenizer: The model's tokenizer.
        maximum_tokens: The length of the longest row with its end id; longer ones are cut as at run time.
        most: The maximum number of lines.

    Returns:
        The rows, those of lines first, and how many come from lines.
    """
    lines = evenly_spaced(lines, most)
    rows = [[*ids[: maximum_tokens - 1], END_ID] for ids in tokenizer.encode_lines(lines) if ids]
    given = len(rows)
    generator = np.random.default_rng(_SEED)
    pieces = np.arange(END_ID + 1, tokenizer.vocabulary_size)
    # Piece ids follow frequency, which falls about as one over the rank (Zipf).
    shares = 1.0 / (10.0 + np.arange(len(pieces)))
    while len(rows) < LEAST_PROBES:
        length = int(generator.integers(1, maximum_tokens))
        drawn = generator.choice(pieces, size=length, p=shares / shares.sum())
        rows.append([*drawn.tolist(), END_ID])
    return rows, given


def evenly_spaced(items: Sequence[Item], most: int) -> Sequence[Item]:
    """Return all items, or ``most`` evenly spaced ones, in their order."""
    if len(items) <= most:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, most).astype(int)]


def interleave(lines: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the lines of several classes in turn, one of each class, until all are used."""
    return [line for line in chain.from_iterable(zip_longest(*lines.values())) if line is not None]


def compare(
    stored: ARAE,
    trained: ARAE,
    graphs: GraphFiles,
    rows: Sequence[Row],
    given: int,
    maximum_length: int,
    expected: Mapping[str, Sequence[Row]] | None = None,
) -> Parity:
    """Rewrite rows to every class with the graphs, on the CPU in onnxruntime, and with the models.

    Args:
        stored: The model with the weights that the graphs store, in evaluation mode on the CPU.
        trained: The model with its own weights, likewise.
        graphs: The graphs.
        rows: Ids with end ids, as ``probe_rows`` gives them.
        given: How many of the rows come from given lines.
        maximum_length: The length limit of a rewrite in tokens.
        expected: The result of ``rewrites_of`` for ``stored``, if known already.
    """
    encode, sessions = open_graphs(graphs)
    code_differences: list[float] = []
    margins: dict[tuple[int, int, tuple[int, ...]], float] = {}
    identical = near_ties = compared = unrounded = 0
    expected = expected or rewrites_of(stored, rows, maximum_length)
    for index, name in enumerate(stored.classes):
        before = _rewrite(trained, index, rows, maximum_length)
        unrounded += sum(a == b for a, b in zip(expected[name], before, strict=True))
    for chosen in compositions(rows):
        tokens, lengths = pad([rows[number] for number in chosen])
        code, mask = encode.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
        code_differences.append(code_difference(stored, tokens, lengths, code, mask))
        for index, name in enumerate(stored.classes):
            # Without a source, the graph chooses among the whole vocabulary as the model does.
            feed = decoding_feed(sessions[name], code, mask, maximum_length, tokens[:, :0])
            (answers,) = sessions[name].run(["tokens"], feed)
            for number, answer in zip(chosen, answers.tolist(), strict=True):
                compared += 1
                wanted = expected[name][number]
                if answer[: len(wanted)] == wanted and not any(answer[len(wanted) :]):
                    identical += 1
                    continue
                key = (index, number, tuple(answer[: len(wanted)]))
                if key not in margins:
                    margins[key] = _margin(stored, index, rows[number], wanted, answer)
                near_ties += abs(margins[key]) <= NEAR_TIE
    return Parity(
        probe_lines=given,
        random_lines=len(rows) - given,
        compared=compared,
        identical=identical,
        near_ties=near_ties,
        code_difference=float(np.max(code_differences)),  # unlike max(), this keeps what is not a number
        unrounded_identical=unrounded / (len(rows) * len(stored.classes)),
    )


def open_graph(content: bytes, *files: tuple[str, bytes] | None) -> onnxruntime.InferenceSession:
    """Open a graph on the CPU; ``files`` are the names and the contents of its weight files."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    names, contents = zip(*filter(None, files), strict=True) if any(files) else ((), ())
    if names:
        options.add_external_initializers_from_files_in_memory(list(names), list(contents), list(map(len, contents)))
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def open_graphs(graphs: GraphFiles) -> tuple[onnxruntime.InferenceSession, dict[str, onnxruntime.InferenceSession]]:
    """Open the encoder and each class's greedy decoder."""
    encoder = open_graph(graphs.encoder[1], *graphs.weight_files)
    return encoder, {label: open_graph(graph, *graphs.weight_files) for label, (_, graph) in graphs.decoders.items()}


def require_greedy(graphs: GraphFiles, rows: Sequence[Row], maximum_length: int) -> None:
    """Raise an error if a beam of one by the graphs that write hypotheses differs from the greedy decoders.

    Args:
        graphs: The graphs.
        rows: Ids with end ids.
        maximum_length: The length limit of a rewrite in tokens.

    Raises:
        AraeError: Too many rewrites differ.
    """
    tokens, lengths = pad(rows[:LEAST_PROBES])
    encode, sessions = open_graphs(graphs)
    code, mask = encode.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
    one = {
        "line.code": code,
        "line.code_mask": mask,
        "line.source": tokens,
        "maximum_length": np.array(maximum_length),
        "limits": np.full(len(tokens), maximum_length),
        "width": np.array(1),
        "temperature": np.array(0, np.float32),
        "uniforms": np.zeros((0, 0), np.float32),
    }
    compared = identical = 0
    for label, decode in sessions.items():
        (wanted,) = decode.run(["tokens"], decoding_feed(decode, code, mask, maximum_length, tokens))
        search = open_graph(graphs.candidates[label][1], *graphs.weight_files)
        (found,) = search.run(["tokens"], read_inputs(search, one))
        steps = min(len(found), wanted.shape[1])
        compared += len(wanted)
        same = (found.T[:, :steps] == wanted[:, :steps]).all(1)
        identical += int((same & ~found.T[:, steps:].any(1) & ~wanted[:, steps:].any(1)).sum())
    if identical < REQUIRED_SHARE * compared:
        raise AraeError(
            f"beam search with one hypothesis does not decode as the greedy graphs do: {compared - identical:,} of "
            f"{compared:,} rewrites differ; nothing was written",
            f"this is a fault of arae or of onnxruntime {onnxruntime.__version__}: try another version, and report it.",
        )


def decoding_feed(
    session: onnxruntime.InferenceSession, code: Float32, mask: Float32, maximum_length: int, source: Int64
) -> dict[str, Any]:
    """Return the inputs of a greedy decoder's graph, with the source (batch, time) if the graph reads it."""
    feed = {"code": code, "code_mask": mask, "maximum_length": np.array(maximum_length), "source": source}
    return read_inputs(session, feed)


def read_inputs(session: onnxruntime.InferenceSession, feed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that a graph reads."""
    wanted = {each.name for each in session.get_inputs()}
    return {name: values for name, values in feed.items() if name in wanted}


def compositions(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Yield the row indices of each batch: some rows alone, and all rows in batches of mixed lengths, of each size."""
    order = np.random.default_rng(_SEED).permutation(len(rows)).tolist()
    for size in BATCH_SIZES:
        numbers = order[:_ALONE] if size == 1 else order
        edges = [*range(0, len(numbers), size), len(numbers)]
        yield from (numbers[start:stop] for start, stop in pairwise(edges))


def rewrites_of(model: ARAE, rows: Sequence[Row], maximum_length: int) -> dict[str, list[Row]]:
    """Rewrite rows to every class with PyTorch; the answers end with the end id, or at the length limit."""
    return {name: _rewrite(model, index, rows, maximum_length) for index, name in enumerate(model.classes)}


@torch.no_grad()
def _rewrite(model: ARAE, target: int, rows: Sequence[Row], maximum_length: int) -> list[Row]:
    """Rewrite rows with PyTorch; the answers end with the end id, or at the length limit."""
    answers: list[Row] = [[] for _ in rows]
    # Rows of like length together, so that padding costs little.
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for start in range(0, len(order), max(BATCH_SIZES)):
        chosen = order[start : start + max(BATCH_SIZES)]
        tokens, lengths = (torch.from_numpy(values) for values in pad([rows[number] for number in chosen]))
        for number, answer in zip(chosen, model.rewrite(tokens, lengths, target, maximum_length).tolist(), strict=True):
            answers[number] = answer[: answer.index(END_ID) + 1] if END_ID in answer else answer
    return answers


@torch.no_grad()
def code_difference(model: ARAE, tokens: Int64, lengths: Int64, code: Float32, mask: Float32) -> float:
    """Return the maximum absolute difference from the model's codes; infinite if shapes or masks differ."""
    wanted, real = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
    if code.shape != tuple(wanted.shape) or not np.array_equal(mask, real.float().numpy()):
        return float("inf")
    return float(np.abs(code - wanted.numpy()).max())


@torch.no_grad()
def _margin(model: ARAE, target: int, row: Row, wanted: Row, answer: Row) -> float:
    """Return by how much the model prefers its own token where the answer first differs."""
    place = next((number for number, (a, b) in enumerate(zip(wanted, answer, strict=False)) if a != b), len(answer))
    if place >= min(len(wanted), len(answer)) or answer[place] in (PAD_ID, UNKNOWN_ID, BEGIN_ID):
        return float("inf")  # one stops where the other goes on, or writes what is never written
    tokens, lengths = (torch.from_numpy(values) for values in pad([row]))
    code, mask = model.encoder(tokens, lengths)
    decoder = model.decoder(target)
    previous = torch.tensor([[BEGIN_ID, *wanted[:place]]])  # (1, place + 1)
    logits = decoder.output(decoder.features(previous, code, mask))[0, -1]  # (vocabulary,)
    return float(logits[wanted[place]] - logits[answer[place]])
