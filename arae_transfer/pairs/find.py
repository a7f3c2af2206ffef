"""Search pairs for a corpus, on all processor cores."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context

import numpy as np

from arae_transfer.language_model.incremental import IncrementalLanguageModels
from arae_transfer.language_model.ngram import END, UNKNOWN, NgramLanguageModel
from arae_transfer.pairs.pair import Pair
from arae_transfer.pairs.phrase_table import PhraseTable, build_phrase_tables
from arae_transfer.pairs.search import PhraseSearch

# A rewrite counts only when its class's language model finds it this much more likely, in nats, than the other's.
LEAST_MARGIN = 4.0
MOST_REPLACEMENTS = 3
# Of the words of sentence and rewrite together, the share that both must have at the greatest weight of style, at
# which the search begins to invent.
_LEAST_AGREEMENT = 0.5
_GENTLE_STYLE_WEIGHT = 0.6
# What language models and phrase tables are made from: more sentences make them larger, and hardly better.
_MOST_SENTENCES = 300_000
_LEAST_WORD_COUNT = 3
_MOST_WORDS = 50_000
_ORDER = 4
_CHUNK = 200

# Sentences done, sentences in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Task:
    """One sentence to rewrite: the indices of its class and of the wanted one."""

    source: int
    target: int
    sentence: str


def find_pairs(
    lines: Mapping[str, Sequence[str]], sentences: int, seed: int, progress: Progress, workers: int | None = None
) -> list[Pair]:
    """Search rewrites of randomly chosen sentences, the same number of each class.

    Args:
        lines: The training sentences of each class, words parted by spaces.
        sentences: How many to search, classes together; each at most once.
        seed: The seed of the choice.
        progress: Told now and then how far the search is.
        workers: The number of processes; None: one per core that this process may use.

    Returns:
        The pairs whose rewrite is surely of its class and not far from the sentence, in the order of the choice.
    """
    names = list(lines)
    tasks = _tasks([lines[name] for name in names], sentences, seed)
    progress(0, len(tasks))
    search = _prepare([_choose(lines[name], _MOST_SENTENCES, [seed, 4, index]) for index, name in enumerate(names)])
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pairs: list[Pair] = []
    done = 0
    for chunk, rewrites in _rewrite_all(tasks, search, workers):
        for task, rewrite in zip(chunk, rewrites, strict=True):
            if rewrite is not None:
                pairs.append(Pair(names[task.source], task.sentence, names[task.target], rewrite))
        done += len(chunk)
        progress(done, len(tasks))
    return pairs


@dataclass(frozen=True)
class _Knowledge:
    """What a search needs to know of the corpus; goes to each process once."""

    models: list[NgramLanguageModel]
    tables: dict[tuple[int, int], PhraseTable]

    def search(self) -> PhraseSearch:
        """Build the search."""
        words = [""] * (END + 1) + list(self.models[0].ids)
        return PhraseSearch(IncrementalLanguageModels(self.models, _ORDER), self.tables, words)


def _prepare(sentences: list[list[str]]) -> _Knowledge:
    split = [[line.split() for line in own] for own in sentences]
    counts = Counter(word for own in split for words in own for word in words)
    # The most frequent first: the phrase table takes the first ids for function words.
    vocabulary = [word for word, count in counts.most_common(_MOST_WORDS) if count >= _LEAST_WORD_COUNT]
    models = [NgramLanguageModel.train(own, order=_ORDER, vocabulary=vocabulary) for own in split]
    ids = models[0].ids
    numbers = [[[ids.get(word, UNKNOWN) for word in words] for words in own] for own in split]
    return _Knowledge(models, build_phrase_tables(numbers, models[0].id_count))


def _choose(lines: Sequence[str], count: int, seed: Sequence[int]) -> list[str]:
    if len(lines) <= count:
        return list(lines)
    chosen = np.random.default_rng(seed).choice(len(lines), count, replace=False)
    return [lines[place] for place in chosen]


def _tasks(lines: Sequence[Sequence[str]], sentences: int, seed: int) -> list[_Task]:
    """Choose distinct sentences, and in turn a class for each among the others."""
    share = -(-sentences // len(lines))
    tasks = []
    for source, own in enumerate(lines):
        distinct = list(dict.fromkeys(" ".join(line.split()) for line in own))
        others = [target for target in range(len(lines)) if target != source]
        for place, sentence in enumerate(_choose(distinct, share, [seed, 5, source])):
            tasks.append(_Task(source, others[place % len(others)], sentence))
    order = np.random.default_rng([seed, 6]).permutation(len(tasks))
    return [tasks[place] for place in order]


_worker: PhraseSearch | None = None
_worker_ids: dict[str, int] = {}


def _start_worker(knowledge: _Knowledge) -> None:
    global _worker, _worker_ids
    # A Ctrl-C reaches every process of the terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker, _worker_ids = knowledge.search(), knowledge.models[0].ids


def _rewrite_chunk(tasks: Sequence[_Task]) -> list[str | None]:
    assert _worker is not None
    return [_rewrite(_worker, _worker_ids, task) for task in tasks]


def _rewrite(search: PhraseSearch, ids: Mapping[str, int], task: _Task) -> str | None:
    """Return the rewrite of a sentence, or None where no good one was found."""
    words = task.sentence.split()
    numbers = [ids.get(word, UNKNOWN) for word in words]
    found = search.rewrite(words, numbers, task.source, task.target, LEAST_MARGIN)
    if found.margin <= LEAST_MARGIN or not 0 < found.replacements <= MOST_REPLACEMENTS or not found.words:
        return None
    if found.style_weight > _GENTLE_STYLE_WEIGHT:
        common = sum((Counter(words) & Counter(found.words)).values())
        if 2 * common < _LEAST_AGREEMENT * (len(words) + len(found.words)):
            return None
    return " ".join(found.words)


def _rewrite_all(
    tasks: Sequence[_Task], knowledge: _Knowledge, workers: int
) -> Iterator[tuple[Sequence[_Task], list[str | None]]]:
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    if workers < 2 or len(chunks) < 2 * workers:
        search, ids = knowledge.search(), knowledge.models[0].ids
        for chunk in chunks:
            yield chunk, [_rewrite(search, ids, task) for task in chunk]
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
