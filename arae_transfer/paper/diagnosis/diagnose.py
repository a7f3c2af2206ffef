"""Diagnosis of a run: all experiments as plain data for reports, plots and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout
from arae_transfer.paper.diagnosis import content, neighbours, swaps
from arae_transfer.paper.diagnosis.coder import Coder, Floats, Sentence
from arae_transfer.paper.diagnosis.history import Series, read_series
from arae_transfer.training.checkpoint import LoadedRun

ANCHORS = 100
POOL = 20_000
EXAMPLES = 5
LANGUAGE_MODEL_LINES = 100_000

Progress = Callable[[str], None]
Lines = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Subject:
    """A run to analyse.

    Attributes:
        folder: Its folder.
        loaded: Its checkpoint.
    """

    folder: Path
    loaded: LoadedRun


@dataclass(frozen=True)
class DiagnosisOptions:
    """Options of a diagnosis.

    Attributes:
        sentences: The most held-out sentences of each class.
        seed: What everything random draws from.
    """

    sentences: int = 500
    seed: int = 1


def diagnose(
    run: Subject,
    baseline: Subject | None,
    training: Lines,
    held_out: Lines,
    options: DiagnosisOptions | None = None,
    progress: Progress = lambda message: None,
) -> dict[str, Any]:
    """Analyse the code space of a run.

    Args:
        run: The run.
        baseline: A plain autoencoder, trained by the same recipe without the adversary; or None.
        training: Sentences of each class that the run learned from, in the corpus's text format.
        held_out: Such sentences that it did not learn from.
        options: How to do it.
        progress: Called with what is being done.

    Returns:
        What JSON can hold; ``interpretation.interpret`` and ``plots.draw`` read it.

    Raises:
        AraeError: The baseline has other classes, there are too few sentences, or the metrics are damaged.
    """
    options = options or DiagnosisOptions()
    subjects = {"run": run} | ({"baseline": baseline} if baseline else {})
    if baseline and set(baseline.loaded.classes) != set(run.loaded.classes):
        raise AraeError(
            f"the baseline {baseline.folder} has the classes {', '.join(baseline.loaded.classes)}, "
            f"the run has {', '.join(run.loaded.classes)}",
            "give a run of the same recipe and data without the adversary.",
        )
    coders = {name: Coder(subject.loaded) for name, subject in subjects.items()}
    sentences = _choose(coders.values(), held_out, options)
    random = np.random.default_rng(options.seed)
    data: dict[str, Any] = {
        "run": _describe(run),
        "baseline": _describe(baseline) if baseline else None,
        "seed": options.seed,
        "sentences": len(sentences),
        "pooling": "none: a code is one vector" if coders["run"].single else "the mean of a code's vectors",
    }
    data["history"] = {name: _history(RunLayout(subject.folder)) for name, subject in subjects.items()}

    progress("comparing similar sentences")
    pool = _pool(coders.values(), training, random)
    anchors = [sentences[place].text for place in random.permutation(len(sentences))[:ANCHORS].tolist()]
    pairs = neighbours.choose_pairs(anchors, pool, random)
    similarities = {name: neighbours.measure_similarity(coder, pairs) for name, coder in coders.items()}
    data["neighbours"] = {
        "anchors": len(pairs.anchors),
        "partners": round(float(np.mean([len(near) for near in pairs.near])), 1) if pairs.near else 0.0,
        "pool": len(pairs.pool),
        "farthest": neighbours.FARTHEST,
        **{name: asdict(found) if found else None for name, found in similarities.items()},
    }
    progress("swapping words")
    data["swaps"] = _swap(coders, sentences, random)
    data["content"] = {}
    for name, coder in coders.items():
        progress(f"measuring the information in codes ({name})")
        data["content"][name] = _content(coder, subjects[name], sentences, training)
    progress("fitting a probe and a projection")
    data["probe"], data["projection"] = {}, {}
    for name, coder in coders.items():
        codes = coder.pooled([sentence.text for sentence in sentences])
        probe = content.measure_probe(codes, sentences, np.random.default_rng(options.seed))
        data["probe"][name] = asdict(probe) if probe else None
        data["projection"][name] = _project(coder, subjects[name], codes, sentences, options.seed)
    return {key: _rounded(value) for key, value in data.items()}


def _choose(coders: Collection[Coder], held_out: Lines, options: DiagnosisOptions) -> list[Sentence]:
    """Return distinct held-out sentences that every run can read, the same number for each class."""
    random = np.random.default_rng(options.seed)
    chosen: dict[str, Sentence] = {}
    for label, lines in held_out.items():
        fitting = list(dict.fromkeys(" ".join(line.split()) for line in lines))
        fitting = [line for line in fitting if line not in chosen and all(coder.fits(line) for coder in coders)]
        places = np.sort(random.permutation(len(fitting))[: options.sentences])
        chosen |= {fitting[place]: Sentence(fitting[place], label) for place in places.tolist()}
    if len(chosen) < 2 or not any(len(text.split()) >= swaps.FEWEST_WORDS for text in chosen):
        raise AraeError(
            f"only {len(chosen)} held-out sentences are short enough for the run and long enough for swapping words",
            "give more data with --data.",
        )
    return list(chosen.values())


def _pool(coders: Collection[Coder], training: Lines, random: np.random.Generator) -> list[str]:
    """Return the sentences to search neighbours in."""
    lines = [" ".join(line.split()) for own in training.values() for line in own]
    chosen = [lines[place] for place in random.permutation(len(lines))[:POOL].tolist()]
    return [line for line in chosen if all(coder.fits(line) for coder in coders)]


def _describe(subject: Subject) -> dict[str, Any]:
    recipe = subject.loaded.recipe
    return {
        "folder": str(subject.folder),
        "name": subject.folder.name,
        "step": subject.loaded.state.step,
        "classes": list(subject.loaded.classes),
        "code": recipe.model.code,
        "code_size": recipe.model.code_size,
        "adversary_weight": recipe.adversary.weight,
        "attribute_weight": recipe.attribute.weight,
    }


def _history(layout: RunLayout) -> dict[str, dict[str, list[float]]]:
    series: dict[str, Series] = {
        f"{kind}_{figure}": read_series(layout, f"train/{kind}_{figure}")
        for kind in ("real", "generated")
        for figure in ("norm", "variance")
    }
    return {name: {"sentences": list(own.sentences), "values": own.values} for name, own in series.items()}


def _swap(coders: Mapping[str, Coder], sentences: Sequence[Sentence], random: np.random.Generator) -> dict[str, Any]:
    long = [sentence for sentence in sentences if len(sentence.text.split()) >= swaps.FEWEST_WORDS]
    swapped = swaps.make_swapped(long, random)
    results: dict[str, Any] = {"sentences": len(long), "fewest_words": swaps.FEWEST_WORDS}
    answers: dict[str, swaps.Answers] = {}
    for name, coder in coders.items():
        mending, answers[name] = swaps.measure_mending(coder, long, swapped)
        results[name] = asdict(mending)
    if "baseline" in answers:
        means, intervals = swaps.paired_differences(answers["run"], answers["baseline"])
        results["difference"] = {"nll": means, "interval": intervals}
    places = np.linspace(0, len(long) - 1, min(EXAMPLES, len(long))).astype(int).tolist()
    results["examples"] = [
        {
            "original": long[place].text,
            "label": long[place].label,
            "swaps": number,
            "swapped": swapped[number][place],
            **{name: own.texts[number][place] for name, own in answers.items()},
        }
        for place in places
        for number in range(1, swaps.MOST_SWAPS + 1)
    ]
    return results


def _content(coder: Coder, subject: Subject, sentences: Sequence[Sentence], training: Lines) -> dict[str, Any]:
    recipe = subject.loaded.recipe
    texts = [sentence.text for sentence in sentences]
    noise = read_series(RunLayout(subject.folder), "train/code_noise").last
    if noise is None:
        steps = subject.loaded.state.step // 100
        noise = recipe.model.code_noise * recipe.model.code_noise_decay**steps
    statistics = coder.vector_statistics(texts)
    by_norm = content.capacity_of_norm(recipe.model.code_size, noise)
    by_covariance = content.capacity_of_covariance(statistics.covariance, noise)
    evaluated = set(texts)
    lines = [line for own in training.values() for line in own if line not in evaluated]
    step = max(1, len(lines) // LANGUAGE_MODEL_LINES)
    reconstruction = content.measure_reconstruction(coder, sentences)
    bits = content.sentence_bits(subject.loaded.tokenizer, lines[::step], texts)
    return {
        **asdict(reconstruction),
        "sentence_bits": bits,
        "carried_bits": bits - reconstruction.bits,
        "code_noise": noise,
        "vectors": statistics.vectors,
        "capacity_per_vector": by_norm,
        "capacity_per_vector_of_covariance": by_covariance,
        "capacity": by_norm * statistics.vectors,
        "capacity_of_covariance": by_covariance * statistics.vectors,
    }


def _project(coder: Coder, subject: Subject, codes: Floats, sentences: Sequence[Sentence], seed: int) -> dict[str, Any]:
    projection = content.Projection.fit(codes)
    points = projection(codes)
    labels = np.array([sentence.label for sentence in sentences])
    result: dict[str, Any] = {
        "explained": projection.explained.tolist(),
        "points": {label: points[labels == label].tolist() for label in subject.loaded.classes},
        "generated": None,
    }
    if subject.loaded.recipe.adversary.weight > 0:
        result["generated"] = projection(coder.generated([sentence.text for sentence in sentences], seed)).tolist()
    return result


def _rounded(value: Any) -> Any:  # noqa: ANN401 -- anything that JSON can hold
    """Round to 6 decimals; values that are not finite become None, because JSON cannot write them."""
    if isinstance(value, dict):
        return {str(key): _rounded(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(own) for own in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
