"""Reranking: hypotheses are scored by style, fluency, content, language and quality, and the best come first."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.runtime.batching import batches_by_length, pad
from arae_transfer.runtime.options import Ranking as Ranking

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import Hypothesis
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.runtime.sessions import Sessions
    from arae_transfer.tokenizer import Tokenizer

Float32 = npt.NDArray[np.float32]

_WORD = re.compile(r"\w+")
# How much more the words that a rewrite keeps count for agreement than those that it adds: the square of beta.
_RECALL = 4.0
_MOST_SCORED_ROWS = 512


@dataclass(frozen=True, slots=True)
class ScoredHypothesis:
    """A rewrite of a line, with its scores; those of a line of several sentences are means, weighted by source tokens.

    Attributes:
        output: The rewrite, one line.
        score: The weighted sum that it is ranked by.
        style: The probability of the target class, by the style scorer.
        fluency: The mean log-probability of its tokens, the end id among them, under the decoder of its class.
        content: Its agreement with the source.
        language: Its loss of language-model probability, see ``language_model_drop``; 0 if the export has no language
            models.
        unfinished: Whether it reached the length limit before its end.
        faithful: Whether it keeps what must stay, such as numbers and quotations, and breaks no word. Unfaithful
            hypotheses rank behind all faithful ones.
        keep: The probability that nothing of the line is to change; None: the model does not edit.
        quality: The probability that a reader accepts it, by the quality estimator; None: the export has none.
    """

    output: str
    score: float
    style: float
    fluency: float
    content: float
    language: float
    unfinished: bool
    faithful: bool = True
    keep: float | None = None
    quality: float | None = None

    @property
    def confidence(self) -> float:
        """How sure the model is that this is a good answer: ``quality``, or ``style`` without a quality estimator."""
        return self.style if self.quality is None else self.quality


class RankedText:
    """A hypothesis in the corpus's text format, with its scores."""

    __slots__ = ("content", "hypothesis", "language", "log_odds", "log_style", "score", "text")

    def __init__(
        self,
        text: str,
        hypothesis: Hypothesis,
        log_style: float,
        content: float,
        language: float,
        log_odds: float | None,
        ranking: Ranking,
    ) -> None:
        self.text = text
        self.hypothesis = hypothesis
        self.log_style = log_style
        self.content = content
        self.language = language
        self.log_odds = log_odds
        self.score = ranking.score(log_style, hypothesis.fluency, content, language, log_odds or 0.0)

    def written(self, output: str, *, faithful: bool = True) -> ScoredHypothesis:
        """Return it with its output in the typed form."""
        return ScoredHypothesis(
            output=output,
            score=self.score,
            style=math.exp(self.log_style),
            fluency=self.hypothesis.fluency,
            content=self.content,
            language=self.language,
            unfinished=not self.hypothesis.finished,
            faithful=faithful,
            keep=self.hypothesis.keep,
            quality=None if self.log_odds is None else 1 / (1 + math.exp(-self.log_odds)),
        )


def rerank(
    sessions: Sessions,
    tokenizer: Tokenizer,
    sources: Sequence[tuple[str, Sequence[int]]],
    hypotheses: Sequence[Sequence[Hypothesis]],
    to: str,
    ranking: Ranking,
) -> list[list[RankedText]]:
    """Return the hypotheses of each line, the best first; of equal texts the most probable.

    Args:
        sessions: The model.
        tokenizer: The model's tokenizer.
        sources: The text of each line, in the corpus's text format, and its ids with the end id.
        hypotheses: The hypotheses of each line.
        to: The target class.
        ranking: The weights of the scores.

    Raises:
        AraeError: The model has no style scorer, is damaged, or onnxruntime fails.
    """
    decoded = iter(tokenizer.decode_rows([each.tokens for found in hypotheses for each in found]))
    distinct: list[dict[str, Hypothesis]] = []
    for found in hypotheses:
        texts: dict[str, Hypothesis] = {}
        read = [(hypothesis, next(decoded)) for hypothesis in found]
        for hypothesis, text in sorted(read, key=lambda each: -each[0].fluency):
            texts.setdefault(text, hypothesis)
        distinct.append(texts)
    # What a text's style is must not depend on the pieces that the decoder happened to write it in.
    encoded = tokenizer.encode_lines([text for texts in distinct for text in texts], threads=1)
    scores = style_scores(sessions, encoded)
    style = iter(scores[:, sessions.folder.classes.index(to)].tolist())
    numbers = [number for number, texts in enumerate(distinct) for _ in texts]
    drop = _language_model_drops(sessions, [ids for _, ids in sources], numbers, encoded, to)
    odds = iter(_log_odds(sessions, [ids for _, ids in sources], distinct, to))
    ranked = []
    for (source, _), texts in zip(sources, distinct, strict=True):
        contents = agreement(source, list(texts))
        found_texts = [
            RankedText(text, hypothesis, next(style), content, next(drop, 0.0), next(odds), ranking)
            for (text, hypothesis), content in zip(texts.items(), contents, strict=True)
        ]
        found_texts.sort(key=lambda each: -each.score)
        ranked.append(found_texts)
    return ranked


def place_copies(
    ranked: Sequence[list[RankedText]], sources: Sequence[str], copy_above: float
) -> list[list[RankedText]]:
    """Rank the copies of an editing model last, or first if the model is sure enough that nothing is to change.

    The scores of style and content would often prefer a source to any rewrite of it.

    Args:
        ranked: The hypotheses of each line, the best first.
        sources: The text of each line.
        copy_above: The probability that nothing is to change above which a copy ranks first.
    """
    placed = []
    for texts, source in zip(ranked, sources, strict=True):
        copies = [each for each in texts if each.text == source]
        others = [each for each in texts if each.text != source]
        sure = any((each.hypothesis.keep or 0.0) > copy_above for each in copies)
        placed.append([*copies, *others] if sure else [*others, *copies])
    return placed


def _log_odds(
    sessions: Sessions, sources: Sequence[Sequence[int]], distinct: Sequence[dict[str, Hypothesis]], to: str
) -> list[float | None]:
    """Return the log-odds that a reader accepts each text; None for a copy, or without a quality estimator."""
    if sessions.folder.quality is None:
        return [None] * sum(map(len, distinct))
    from arae_transfer.runtime.quality import acceptance_log_odds

    edits = [[hypothesis.edits for hypothesis in texts.values() if hypothesis.edits] for texts in distinct]
    target, most = sessions.folder.classes.index(to), sessions.folder.maximum_tokens
    odds = iter(acceptance_log_odds(sessions.run_quality, sources, edits, target, most))
    return [next(odds) if hypothesis.edits else None for texts in distinct for hypothesis in texts.values()]


def _language_model_drops(
    sessions: Sessions, sources: Sequence[Sequence[int]], numbers: Sequence[int], encoded: list[list[int]], to: str
) -> Iterator[float]:
    """Return the language-model drop of each text; nothing if the export has no language models."""
    models = sessions.language_models()
    if not models:
        return iter(())
    of_sources = [model.score([ids[:-1] for ids in sources]) for model in models.values()]
    best = np.maximum.reduce(of_sources).tolist()
    return iter(
        [
            language_model_drop(own, best[number], len(sources[number]))
            for number, own in zip(numbers, models[to].score(encoded).tolist(), strict=True)
        ]
    )


def style_scores(sessions: Sessions, rows: Sequence[Sequence[int]]) -> Float32:
    """Return the style scorer's log-probability of each class, (rows, classes), for rows of ids without end ids.

    Raises:
        AraeError: The model has no style scorer, or it is damaged, or onnxruntime fails.
    """
    classes = sessions.folder.classes
    scores: Float32 = np.zeros((len(rows), len(classes)), dtype=np.float32)
    for batch in batches_by_length([len(row) + 1 for row in rows], _MOST_SCORED_ROWS):
        tokens, lengths = pad([rows[number] for number in batch], least=1)
        mask: Float32 = (np.arange(tokens.shape[1]) < lengths[:, np.newaxis]).astype(np.float32)
        found = sessions.score(tokens, mask)
        if found.shape != (len(batch), len(classes)):
            raise wrong_shape(sessions.folder)
        scores[batch] = found
    return scores


def wrong_shape(folder: ModelFolder) -> AraeError:
    """Return the error for a graph whose output does not fit the model's classes."""
    return AraeError(f"the model {folder.name} gave answers of a wrong shape", "export it again.")


def agreement(source: str, rewrites: Sequence[str]) -> list[float]:
    """Return the F2 overlap of each text's words with a source's, in any order: 0 to 1; 1 if neither has words.

    The harmonic mean of the share of the rewrite's words that the source has and, weighing four times as much, the
    share of the source's words that the rewrite has (van Rijsbergen's F with beta 2): what the source says is to be
    said differently, not left out. A word that occurs twice in both counts twice.
    """
    words = source.split()
    counts = Counter(words)
    found = []
    for rewrite in rewrites:
        others = rewrite.split()
        left = dict(counts)
        common = 0
        for word in others:
            if left.get(word):
                left[word] -= 1
                common += 1
        number = _RECALL * len(words) + len(others)
        found.append((1 + _RECALL) * common / number if number else 1.0)
    return found


def language_model_drop(log_probability: float, of_source: float, tokens: int) -> float:
    """Return by how much a rewrite is less probable than its source under the language models, in nats per token.

    A rewrite that is more probable than its source gets no credit: common phrases are probable. The source is scored
    under the class in which it is most probable, mostly its own: under another class it is as improbable as a bad
    rewrite.

    Args:
        log_probability: Of the rewrite, under the language model of its class.
        of_source: Of the source, the greatest under the language model of any class.
        tokens: The tokens of the source, its end among them.
    """
    return min(0.0, log_probability - of_source) / tokens


def only_appends(source: str, rewrite: str) -> bool:
    """Return whether a rewrite appends words behind its source's last word, as in "we asked is great ."."""
    before, after = (_WORD.findall(text) for text in (source, rewrite))
    return bool(before) and before[-1] in after and after[-1] != before[-1]


def probability_of_all(probabilities: Sequence[float | None]) -> float | None:
    """Return the product of the known probabilities; None if none is known."""
    known = [each for each in probabilities if each is not None]
    return math.prod(known) if known else None


def join_hypotheses(
    sentences: Sequence[tuple[Sequence[ScoredHypothesis], str, int]], join: Callable[[list[str]], str], most: int
) -> tuple[ScoredHypothesis, ...]:
    """Combine the hypotheses of a line's sentences; return the best by the mean of their scores.

    Args:
        sentences: For each sentence its hypotheses, its answer if it has none (it is blank, or unchanged), and its
            number of tokens, which is its weight.
        join: Joins the answers of the sentences.
        most: How many hypotheses to return.
    """
    weight = sum(tokens for hypotheses, _, tokens in sentences if any(each.faithful for each in hypotheses))
    if not weight:
        return ()
    # The sum of scores is greatest where each is, so that the best of some sentences are among the best of fewer.
    best: list[tuple[float, tuple[ScoredHypothesis | None, ...]]] = [(0.0, ())]
    for hypotheses, _, tokens in sentences:
        longer = [
            (total + tokens * (each.score if each else 0.0), (*chosen, each))
            for total, chosen in best
            for each in [each for each in hypotheses if each.faithful] or (None,)
        ]
        best = sorted(longer, key=lambda entry: -entry[0])[:most]

    def mean(chosen: tuple[ScoredHypothesis | None, ...], name: str) -> float:
        values = [(tokens, getattr(each, name)) for each, (_, _, tokens) in zip(chosen, sentences, strict=True) if each]
        return float(sum(tokens * value for tokens, value in values) / weight)

    return tuple(
        ScoredHypothesis(
            output=join(
                [each.output if each else answer for each, (_, answer, _) in zip(chosen, sentences, strict=True)]
            ),
            score=mean(chosen, "score"),
            style=mean(chosen, "style"),
            fluency=mean(chosen, "fluency"),
            content=mean(chosen, "content"),
            language=mean(chosen, "language"),
            unfinished=any(each.unfinished for each in chosen if each),
            keep=probability_of_all([each.keep for each in chosen if each]),
            quality=probability_of_all([each.quality for each in chosen if each]),
        )
        for _, chosen in best
    )
