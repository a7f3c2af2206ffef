"""Mine a pseudo-parallel corpus: search a rewrite of each sentence, on all CPU cores."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arae_transfer.corpus.holdout import cross_fitting_fold
from arae_transfer.language_model.incremental import IncrementalLanguageModels
from arae_transfer.language_model.ngram import END, UNKNOWN, NgramLanguageModel
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.parallel.linear_classifier import LinearClassifier
from arae_transfer.parallel.options import ParallelData, PhraseSearch, PhraseTable, RewriteScores
from arae_transfer.parallel.phrase_search import PhraseSearcher
from arae_transfer.parallel.phrase_table import Replacements, build_phrase_tables
from arae_transfer.parallel.rewrite_scorer import RewriteScorer, ScoredRewrite
from arae_transfer.recipe import Recipe

_CHUNK = 200

# Sentences done, sentences in all.
Progress = Callable[[int, int], None]
Floats = npt.NDArray[np.float64]


class CandidateModel(Protocol):
    """A trained model that generates further candidates and scores all of them."""

    def generate(self, sentences: Sequence[str], source: int, target: int) -> list[list[str]]:
        """Return further candidates for sentences of one class (index) in the target class (index)."""

    def log_probabilities(
        self, sentences: Sequence[str], rewrites: Sequence[str], source: int, target: int
    ) -> tuple[Floats, Floats]:
        """Return the log-probability of each rewrite given its sentence, and of the sentence given the rewrite."""


@dataclass(frozen=True)
class MiningOptions:
    """Recipe sections that control mining.

    Attributes:
        parallel: The data of language models and phrase tables.
        phrase_table: Which phrases can replace which.
        phrase_search: How rewrites are searched.
        scores: How rewrites are scored.
    """

    parallel: ParallelData = field(default_factory=ParallelData)
    phrase_table: PhraseTable = field(default_factory=PhraseTable)
    phrase_search: PhraseSearch = field(default_factory=PhraseSearch)
    scores: RewriteScores = field(default_factory=RewriteScores)

    @classmethod
    def of(cls, recipe: Recipe) -> MiningOptions:
        """Return the options of a recipe."""
        return cls(recipe.parallel, recipe.phrase_table, recipe.phrase_search, recipe.rewrite_scores)


@dataclass(frozen=True)
class _Task:
    """One sentence to rewrite: the indices of its class and of the target class, and generated candidates."""

    source: int
    target: int
    sentence: str
    generated: tuple[str, ...] = ()


def mine_parallel(
    lines: Mapping[str, Sequence[str]],
    sentences: int,
    seed: int,
    progress: Progress,
    workers: int | None = None,
    candidate_model: CandidateModel | None = None,
    options: MiningOptions | None = None,
) -> list[ParallelExample]:
    """Search rewrites of random sentences, the same number of each class.

    Args:
        lines: The training sentences of each class, words separated by spaces.
        sentences: How many to search, classes together; each at most once.
        seed: The seed of the draw.
        progress: Called from time to time with the progress of the search.
        workers: The number of processes; None: one per core that this process may use.
        candidate_model: A trained model that generates further candidates and rates all of them.
        options: The constants of the search; None: the default recipe's.

    Returns:
        The pairs whose rewrite is certainly in its class, fluent and close to the sentence, in the order of the draw.
    """
    options = options or MiningOptions()
    names = list(lines)
    tasks = _tasks([lines[name] for name in names], sentences, seed)
    if candidate_model is not None:
        tasks = _with_generated(tasks, candidate_model)
    progress(0, len(tasks))
    most = options.parallel.known_sentences
    knowledge = _prepare(
        {name: _draw(lines[name], most, [seed, 4, index]) for index, name in enumerate(names)}, options
    )
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rated = _with_progress(_rewrite_all(tasks, knowledge, workers), progress, len(tasks))
    pairs: list[ParallelExample] = []
    likelihoods: list[float] = []
    for chunk, good in rated:
        for task, rewrite in zip(chunk, _choose(chunk, good, knowledge.choice, candidate_model), strict=True):
            if rewrite is not None:
                pairs.append(
                    ParallelExample(names[task.source], task.sentence, names[task.target], " ".join(rewrite.words))
                )
                likelihoods.append(rewrite.likelihood)
    if candidate_model is None or not pairs:
        return pairs
    floor = np.quantile(likelihoods, options.scores.dropped)
    return [pair for pair, likelihood in zip(pairs, likelihoods, strict=True) if likelihood >= floor]


@dataclass(frozen=True)
class _Knowledge:
    """Corpus statistics for a search; sent to each process once.

    Attributes:
        models: For each part of the sentences, each class's language model that has not seen them.
        tables: The phrase tables, by source and target class.
        choice: Scores candidates.
        options: The constants of the search.
    """

    models: list[list[NgramLanguageModel]]
    tables: dict[tuple[int, int], Replacements]
    choice: RewriteScorer
    options: MiningOptions

    @property
    def ids(self) -> Mapping[str, int]:
        """Id of each word."""
        return self.models[0][0].ids

    def search(self, part: int) -> PhraseSearcher:
        """Build the search for one part of the sentences."""
        words = [""] * (END + 1) + list(self.ids)
        order, options = self.options.parallel.language_model_order, self.options.phrase_search
        return PhraseSearcher(IncrementalLanguageModels(self.models[part], order), self.tables, words, options)


def _prepare(lines: Mapping[str, Sequence[str]], options: MiningOptions) -> _Knowledge:
    parallel = options.parallel
    split = [[line.split() for line in own] for own in lines.values()]
    counts = Counter(word for own in split for words in own for word in words)
    # The most frequent first: the phrase table takes the first ids for function words.
    known = counts.most_common(parallel.maximum_words)
    vocabulary = [word for word, count in known if count >= parallel.minimum_word_count]
    parts = [[cross_fitting_fold(" ".join(words), parallel.folds) for words in own] for own in split]
    models = [
        [
            NgramLanguageModel.train(
                # Where all of a class's sentences are in this part, there are no others to learn from.
                [words for words, own_part in zip(own, numbers, strict=True) if own_part != part] or own,
                order=parallel.language_model_order,
                vocabulary=vocabulary,
            )
            for own, numbers in zip(split, parts, strict=True)
        ]
        for part in range(parallel.folds)
    ]
    ids = models[0][0].ids
    numbers = [[[ids.get(word, UNKNOWN) for word in words] for words in own] for own in split]
    tables = build_phrase_tables(numbers, models[0][0].id_count, options.phrase_table)
    return _Knowledge(models, tables, RewriteScorer(lines, LinearClassifier(lines), options.scores), options)


def _draw(lines: Sequence[str], count: int, seed: Sequence[int]) -> list[str]:
    if len(lines) <= count:
        return list(lines)
    chosen = np.random.default_rng(seed).choice(len(lines), count, replace=False)
    return [lines[place] for place in chosen]


def _tasks(lines: Sequence[Sequence[str]], sentences: int, seed: int) -> list[_Task]:
    """Choose distinct sentences, and target classes in turn."""
    share = -(-sentences // len(lines))
    tasks = []
    for source, own in enumerate(lines):
        distinct = list(dict.fromkeys(" ".join(line.split()) for line in own))
        others = [target for target in range(len(lines)) if target != source]
        for place, sentence in enumerate(_draw(distinct, share, [seed, 5, source])):
            tasks.append(_Task(source, others[place % len(others)], sentence))
    order = np.random.default_rng([seed, 6]).permutation(len(tasks))
    return [tasks[place] for place in order]


def _with_generated(tasks: list[_Task], candidate_model: CandidateModel) -> list[_Task]:
    """Generate candidates, direction by direction."""
    asked = list(tasks)
    for (source, target), rows in _directions(tasks):
        generated = candidate_model.generate([tasks[row].sentence for row in rows], source, target)
        for row, own in zip(rows, generated, strict=True):
            asked[row] = replace(tasks[row], generated=tuple(own))
    return asked


def _directions(tasks: Sequence[_Task]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield each direction and the indices of its tasks."""
    kinds = [(task.source, task.target) for task in tasks]
    for kind in sorted(set(kinds)):
        yield kind, [row for row, own in enumerate(kinds) if own == kind]


# Some tasks, and the good rewrites of each, the best first.
_Rated = tuple[Sequence[_Task], list[list[ScoredRewrite]]]


def _with_progress(rated: Iterator[_Rated], progress: Progress, total: int) -> Iterator[_Rated]:
    """Report the progress of the search."""
    done = 0
    for chunk, good in rated:
        done += len(chunk)
        progress(done, total)
        yield chunk, good


def _choose(
    tasks: Sequence[_Task],
    rated: Sequence[Sequence[ScoredRewrite]],
    choice: RewriteScorer,
    candidate_model: CandidateModel | None,
) -> list[ScoredRewrite | None]:
    """Choose the best rewrite of each sentence, with the model's scores if there is a model."""
    if candidate_model is None:
        return [own[0] if own else None for own in rated]
    chosen: list[ScoredRewrite | None] = [None] * len(tasks)
    for (source, target), rows in _directions(tasks):
        shown = [rated[row][: choice.options.reranked] for row in rows]
        sentences = [tasks[row].sentence for row, own in zip(rows, shown, strict=True) for _ in own]
        rewrites = [" ".join(rewrite.words) for own in shown for rewrite in own]
        forward, back = candidate_model.log_probabilities(sentences, rewrites, source, target)
        start = 0
        for row, own in zip(rows, shown, strict=True):
            part = slice(start, start + len(own))
            words = tasks[row].sentence.split()
            chosen[row] = choice.prefer(words, own, forward[part], back[part], source, target)
            start = part.stop
    return chosen


_worker: _Rewriter | None = None


class _Rewriter:
    """Searches candidates and scores them."""

    def __init__(self, knowledge: _Knowledge) -> None:
        self._models = knowledge.models
        self._folds = knowledge.options.parallel.folds
        self._searches = [knowledge.search(part) for part in range(self._folds)]
        self._choice = knowledge.choice
        self._ids = knowledge.ids

    def rewrite(self, tasks: Sequence[_Task]) -> list[list[ScoredRewrite]]:
        """Return the acceptable rewrites of each sentence, the best first."""
        rewrites: list[list[ScoredRewrite]] = [[] for _ in tasks]
        sentences = [task.sentence.split() for task in tasks]
        kinds = [
            (task.source, task.target, cross_fitting_fold(" ".join(words), self._folds))
            for task, words in zip(tasks, sentences, strict=True)
        ]
        for source, target, part in sorted(set(kinds)):
            rows = [row for row, kind in enumerate(kinds) if kind == (source, target, part)]
            candidates = []
            for row in rows:
                numbers = [self._ids.get(word, UNKNOWN) for word in sentences[row]]
                found = self._searches[part].candidates(sentences[row], numbers, source, target)
                generated = [each.split() for each in tasks[row].generated]
                found += [own for own in generated if own and own != sentences[row] and own not in found]
                candidates.append(found)
            own = [sentences[row] for row in rows]
            rated = self._choice.rate(own, candidates, self._models[part], source, target)
            for row, good in zip(rows, rated, strict=True):
                rewrites[row] = good
        return rewrites


def _start_worker(knowledge: _Knowledge) -> None:
    global _worker
    # A Ctrl-C reaches every process of the terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = _Rewriter(knowledge)


def _rewrite_chunk(tasks: Sequence[_Task]) -> list[list[ScoredRewrite]]:
    assert _worker is not None
    return _worker.rewrite(tasks)


def _rewrite_all(tasks: Sequence[_Task], knowledge: _Knowledge, workers: int) -> Iterator[_Rated]:
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    if workers < 2 or len(chunks) < 2 * workers:
        rewriter = _Rewriter(knowledge)
        for chunk in chunks:
            yield chunk, rewriter.rewrite(chunk)
        return
    # Fresh processes rather than forks of this one, which may hold threads of torch.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (knowledge,)) as pool:
        try:
            waiting = iter(chunks)
            # A few chunks ahead are enough to keep every process busy, and an interrupt then waits for few.
            running = [(chunk, pool.submit(_rewrite_chunk, chunk)) for chunk in islice(waiting, 4 * workers)]
            while running:
                chunk, future = running.pop(0)
                rewrites = future.result()
                for following in islice(waiting, 1):
                    running.append((following, pool.submit(_rewrite_chunk, following)))
                yield chunk, rewrites
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
