"""The evaluation: train the instruments on real text, and measure all texts with them.

Beside the rewrites of the systems stand the copied source, human rewrites where there are some, and real text of the
target class, because no number means anything without them: the copied source wins every measure of content, human
rewrites satisfy a judge of style about three times in four, and the blandest text is the most fluent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arae_transfer import __version__
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.content import count_bleu_matches, signature
from arae_transfer.evaluation.intervals import RESAMPLES, Sums, add_sums, paired_p_value, sum_statistics
from arae_transfer.evaluation.measures import (
    Floats,
    Instruments,
    Measurement,
    Scores,
    compute_measures,
    count_distinct,
    foretell,
)
from arae_transfer.evaluation.neural_judge import NeuralJudge
from arae_transfer.evaluation.outputs import Direction, Outputs, References
from arae_transfer.evaluation.real_text import LabelledText, hash_lines, keep_unlike
from arae_transfer.evaluation.style import LinearJudge
from arae_transfer.evaluation.words import Tokenization, WordSplitter
from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.text import TextFormat

COPY = "copied source"
HUMAN = "human"
REAL = "real text"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation.

    Attributes:
        tokenization: What a word is.
        order: The order of the language model.
        resamples: The number of resamplings of the bootstrap.
        seed: What the neural judge and the bootstrap draw from.
        form: The text format to which all text was normalized; None: it was not normalized.
    """

    tokenization: Tokenization = "none"
    order: int = 5
    resamples: int = RESAMPLES
    seed: int = 1
    form: TextFormat | None = None


@dataclass(frozen=True)
class Section:
    """Scores of one direction, or of all directions together.

    Attributes:
        name: Its name.
        lines: The number of source lines.
        systems: The measurements of each system's rewrites, by the keys of the measures.
        baselines: The same of the copied source, of human rewrites and of real text, as far as they exist.
        p_values: For each system but the first and each measure, the paired p-value against the first.
    """

    name: str
    lines: int
    systems: dict[str, Scores]
    baselines: dict[str, Scores]
    p_values: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Attributes:
        directions: A section for each direction.
        together: All directions together.
        signature: What one needs to get the same numbers, by subject.
        warnings: What makes the numbers less trustworthy than they look.
    """

    directions: dict[Direction, Section]
    together: Section
    signature: dict[str, str]
    warnings: list[str]


@dataclass(frozen=True)
class _Text:
    """A text with its measurements per line.

    Attributes:
        sums: The resampled sums of its statistics.
        lines: Its normalized lines.
        reverse: The log-probability of real text under a model of these lines, and the tokens of the real text.
    """

    sums: Sums
    lines: list[str]
    reverse: tuple[float, int]


# A text by name. Several people may have written one: its scores are then the mean of theirs.
_Texts = dict[str, list[_Text]]


def evaluate(
    source: LabelledText,
    systems: Mapping[str, Outputs],
    judge_text: LabelledText,
    language_model_text: LabelledText | None = None,
    references: References | None = None,
    options: EvaluationOptions | None = None,
    progress: Progress = lambda message: None,
    decoding: Mapping[str, str] | None = None,
) -> Evaluation:
    """Score the rewrites of one or more systems.

    Args:
        source: The split that was rewritten.
        systems: The rewrites of each system, aligned with the source; all systems must have the same directions.
        judge_text: What the judges of style learn from; best what no system has learned from.
        language_model_text: What the language model learns from; None: the same.
        references: Human rewrites, aligned with the source, of some or all directions.
        options: How to do it.
        progress: Called with what is being done.
        decoding: How systems made their rewrites, for the signature.

    Raises:
        AraeError: The systems have different directions, or there is nothing to learn from.
    """
    options = options or EvaluationOptions()
    language_model_text = language_model_text or judge_text
    directions = _common_directions(systems)
    splitter = WordSplitter(options.tokenization)
    real = {name: splitter.normalize(lines) for name, lines in source.lines.items()}
    human = {
        direction: [splitter.normalize(lines) for lines in (references or {}).get(direction, [])]
        for direction in directions
    }
    evaluated = {line for lines in real.values() for line in lines}
    evaluated |= {line for sets in human.values() for lines in sets for line in lines}
    judge_lines, judge_dropped = keep_unlike(judge_text, evaluated, splitter)
    fluent_lines, fluent_dropped = keep_unlike(language_model_text, evaluated, splitter)
    instruments = _train_instruments(judge_lines, fluent_lines, options, progress)

    measured: dict[Direction, _Texts] = {}
    for number, direction in enumerate(directions):
        progress(f"measuring {direction}")
        rewrites = {name: splitter.normalize(outputs[direction]) for name, outputs in systems.items()}
        task = _Task(
            instruments, direction, real[direction.source], real[direction.target], human[direction], options, number
        )
        measured[direction] = {
            **{name: [task.measure(lines)] for name, lines in rewrites.items()},
            COPY: [task.measure(task.sources)],
            HUMAN: [task.measure_human(person) for person in range(len(task.references))],
            REAL: [task.measure_real(fluent_lines[direction.target])],
        }
    sections = {direction: _make_section(str(direction), texts, list(systems)) for direction, texts in measured.items()}
    together = _make_section("together", _join(list(measured.values())), list(systems))
    described = {
        "arae": __version__,
        "evaluated": source.describe(),
        "rewrites": "; ".join(
            _describe_outputs(name, outputs, (decoding or {}).get(name)) for name, outputs in systems.items()
        ),
        "classifiers of style": f"trained on {_describe_use(judge_text, judge_dropped)}",
        **{f"{name} judge": judge.description for name, judge in instruments.judges.items()},
        **({} if options.form is None else {"form of all text": _describe_form(options.form)}),
        "BLEU": _describe_bleu(options.tokenization, human),
        "language model": (
            f"{options.order}-gram, interpolated modified Kneser-Ney, per token with </s>, unknown words as one "
            f"word, {instruments.language_model.vocabulary_size:,} words; trained on "
            f"{_describe_use(language_model_text, fluent_dropped)}"
        ),
        "reverse perplexity": "the same kind of model and vocabulary, trained on the evaluated lines, "
        "measured on as much real text of the target class",
        "intervals": f"95 %, {options.resamples:,} bootstrap resamples of lines, seed {options.seed}",
    }
    cautions = dict.fromkeys(text.caution for text in (judge_text, language_model_text) if text.caution)
    return Evaluation(sections, together, described, list(cautions))


def _common_directions(systems: Mapping[str, Outputs]) -> list[Direction]:
    """Return the directions of all systems.

    Raises:
        AraeError: A system has others than the first, or the name of a baseline.
    """
    first, *others = systems
    for name in systems:
        if name in (COPY, HUMAN, REAL):
            raise AraeError(f"a system cannot be named {name!r}, like a column of the report", "rename its folder.")
    directions = sorted(systems[first])
    for name in others:
        if sorted(systems[name]) != directions:
            raise AraeError(
                f"{name} has rewrites {', '.join(map(str, sorted(systems[name])))}, but {first} has "
                f"{', '.join(map(str, directions))}",
                "compare systems with the same directions.",
            )
    return directions


def _train_instruments(
    judge_lines: Mapping[str, Sequence[str]],
    fluent_lines: Mapping[str, Sequence[str]],
    options: EvaluationOptions,
    progress: Progress,
) -> Instruments:
    progress(f"training the linear classifier on {sum(map(len, judge_lines.values())):,} lines")
    linear = LinearJudge(judge_lines)
    progress("training the neural classifier on the same lines")
    neural = NeuralJudge(judge_lines, options.seed)
    progress(f"training the language model on {sum(map(len, fluent_lines.values())):,} lines")
    sentences = [line.split() for lines in fluent_lines.values() for line in lines]
    language_model = NgramLanguageModel.train(sentences, options.order)
    return Instruments({"linear": linear, "neural": neural}, language_model, options.tokenization)


@dataclass(frozen=True)
class _Task:
    """Measurement of all texts of one direction with the same bootstrap resamples.

    Attributes:
        instruments: What measures.
        direction: The direction.
        sources: The normalized source lines.
        real: The normalized lines of the target class in the evaluated split.
        references: The normalized human rewrites.
        options: How to do it.
        number: The number of the direction: each is resampled for itself.
    """

    instruments: Instruments
    direction: Direction
    sources: list[str]
    real: list[str]
    references: list[list[str]]
    options: EvaluationOptions
    number: int

    def measure(self, lines: list[str]) -> _Text:
        """Measure rewrites against the source and all references."""
        statistics = self.instruments.measure_rewrites(lines, self.sources, self.references, self.direction.target)
        return self._make_text(statistics, lines, lines)

    def measure_human(self, person: int) -> _Text:
        """Measure one person's rewrites against the source and the other people's rewrites."""
        lines = self.references[person]
        others = [other for place, other in enumerate(self.references) if place != person]
        statistics = self.instruments.measure_rewrites(lines, self.sources, [], self.direction.target)
        if others:
            matches = count_bleu_matches(lines, others, self.options.tokenization)
            statistics["left_out_matches"] = matches[:, np.newaxis]  # (lines, 1, counts)
        return self._make_text(statistics, lines, lines)

    def measure_real(self, others: Sequence[str]) -> _Text:
        """Measure real text of the target class; reverse perplexity uses as many other lines of that class."""
        statistics = self.instruments.measure_text(self.real, self.direction.target)
        count = min(len(self.sources), len(others))
        sample = [others[place * len(others) // count] for place in range(count)]
        return self._make_text(statistics, self.real, sample)

    def _make_text(self, statistics: Mapping[str, Floats], lines: list[str], sample: Sequence[str]) -> _Text:
        sums = sum_statistics(statistics, self.options.resamples, (self.options.seed, self.number))
        return _Text(sums, lines, foretell(self.real, sample, self.instruments.language_model))


def _join(parts: Sequence[_Texts]) -> _Texts:
    """Join the texts of several directions; human rewrites only if all directions have equally many."""
    joined: _Texts = {}
    for name, texts in parts[0].items():
        if all(len(part[name]) == len(texts) for part in parts):
            joined[name] = [
                _Text(
                    add_sums([text.sums for text in versions]),
                    [line for text in versions for line in text.lines],
                    (sum(text.reverse[0] for text in versions), sum(text.reverse[1] for text in versions)),
                )
                for versions in zip(*(part[name] for part in parts), strict=True)
            ]
    return joined


def _make_section(name: str, texts: _Texts, systems: Sequence[str]) -> Section:
    scores = {text: _score(versions) for text, versions in texts.items() if versions}
    first = scores[systems[0]]
    p_values = {
        other: {
            key: paired_p_value(first[key].values, measurement.values)
            for key, measurement in scores[other].items()
            if measurement.interval is not None
        }
        for other in systems[1:]
    }
    return Section(
        name,
        len(texts[COPY][0].lines),
        {system: scores[system] for system in systems},
        {baseline: scores[baseline] for baseline in (COPY, HUMAN, REAL) if baseline in scores},
        p_values,
    )


def _score(versions: Sequence[_Text]) -> Scores:
    """Return the scores of a text, averaged over its authors."""
    measures = []
    for text in versions:
        log_probability, tokens = text.reverse
        whole = {"distinct": count_distinct(text.lines), "reverse_perplexity": math.exp(-log_probability / tokens)}
        measures.append(compute_measures(text.sums) | {key: np.array([value]) for key, value in whole.items()})
    return {key: Measurement(np.mean([own[key] for own in measures], axis=0)) for key in measures[0]}


def _describe_outputs(name: str, outputs: Outputs, decoding: str | None) -> str:
    told = f" ({decoding})" if decoding else ""
    return f"{name}{told} sha256:{hash_lines({str(direction): lines for direction, lines in outputs.items()})}"


def _describe_use(text: LabelledText, dropped: int) -> str:
    return f"{text.describe()}" + (f", {dropped:,} of them left out because they are evaluated" if dropped else "")


def _describe_form(form: TextFormat) -> str:
    case = "lower case" if form.lower_case else "capitals kept"
    return f"{form.tokens} words, {case}" + (f", {form.number} for numbers" if form.number else "")


def _describe_bleu(tokenization: Tokenization, human: Mapping[Direction, Sequence[Sequence[str]]]) -> str:
    numbers = sorted({1, *(len(sets) for sets in human.values() if sets)})
    return "; ".join(signature(tokenization, number) for number in numbers)
