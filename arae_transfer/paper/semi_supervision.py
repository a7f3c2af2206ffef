"""The paper's third experiment: the value of unlabelled sentences for a classifier with few labels.

Three systems of one recipe, alike in all but two keys: supervised only, with an autoencoder, and adversarially
regularized. Every system of one seed gets the same labels, the same tokenizer and the same number of updates, and its
best checkpoint is chosen on the same held-out examples. The two that read sentences without labels may do so alone
first, once for all numbers of labels: few labels are learned by heart before a decoder has learned to read a code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from arae_transfer.atomic import append_text
from arae_transfer.corpus.labelled import Examples, LabelledData, class_indices
from arae_transfer.layout import RunLayout
from arae_transfer.paper.experiment_plan import keep_plan
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.classification import (
    accuracy,
    class_probabilities,
    tokenize_examples,
)
from arae_transfer.training.loop import Outcome, Trainer
from arae_transfer.training.reporter import Reporter

SUPERVISED = "supervised"
SYSTEMS = (SUPERVISED, "autoencoder", "arae")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Result:
    """One system of one seed.

    Attributes:
        system: One of ``SYSTEMS``.
        labels: The number of labels that it learned from.
        seed: The seed.
        accuracy: Percent of the test examples.
        valid: Percent of the held-out examples, at the chosen checkpoint.
        step: That checkpoint's step.
        minutes: What its training took.
    """

    system: str
    labels: int
    seed: int
    accuracy: float
    valid: float
    step: int
    minutes: float


def recipe_of(recipe: Recipe, system: str, seed: int, labels: float, tokenizer: Path) -> Recipe:
    """Return the recipe of a system; ``labels`` up to 1 is a share, above it a number."""
    training, adversary = replace(recipe.training, seed=seed), recipe.adversary
    if system != "arae":
        adversary = replace(adversary, weight=0.0)
    if system == SUPERVISED:
        training = replace(training, reconstruction=0.0)
    share, number = (labels, 0) if labels <= 1 else (1.0, round(labels))
    return replace(
        recipe,
        adversary=adversary,
        training=training,
        labels=replace(recipe.labels, share=share, number=number),
        tokenizer=replace(recipe.tokenizer, model=str(tokenizer)),
    )


def _beginning_of(recipe: Recipe, sentences: int) -> Recipe:
    """Return the recipe of a system's pretraining, the same for all numbers of labels."""
    return replace(
        recipe,
        labels=replace(recipe.labels, weight=0.0, share=1.0, number=0),
        training=replace(recipe.training, sentences=sentences),
        validation=replace(recipe.validation, every=sentences),  # without labels there is nothing to choose by
    )


def run_systems(
    recipe: Recipe,
    data: LabelledData,
    test: Examples,
    labels: Sequence[float],
    seeds: Sequence[int],
    folder: Path,
    make_reporter: Callable[[], Reporter],
    *,
    beginning: int = 0,
    device: str = "auto",
    finished: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Train and test every system with every number of labels and every seed.

    Sentences of the test are taken out of the unlabelled ones. Results are kept in ``results.jsonl`` of the folder as
    they come, and what is there already is not trained again.

    Args:
        recipe: The recipe of the adversarially regularized system.
        data: What it learns from.
        test: The examples that it is tested on.
        labels: Shares (up to 1) or numbers (above) of labels.
        seeds: The seeds.
        folder: Where runs and results are kept.
        make_reporter: Returns who shows a run.
        beginning: The sentences that autoencoder and ARAE see first, without labels; 0: labels count from the start.
        device: Where to train.
        finished: Called with each result.

    Raises:
        AraeError: The folder holds runs of another beginning, or a run cannot be trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep_plan(folder, {"beginning": beginning})
    tested = {line for lines in test.sentences for line in lines}
    data = replace(data, unlabelled=[line for line in data.unlabelled if line not in tested])
    tokenizer_file = folder / "tokenizer.model"
    if not tokenizer_file.is_file():
        whole = [recipe.form.number] if recipe.form.number else []
        Tokenizer.train(data.text(), recipe.tokenizer.vocabulary_size, whole=whole).save(tokenizer_file)
    record = folder / "results.jsonl"
    results = _known_results(record)

    def train(resolved: Recipe, run: Path, initial: Path | None = None) -> tuple[Trainer, Outcome]:
        trainer = Trainer(
            resolved,
            data,
            run,
            make_reporter(),
            device=device,
            resume=RunLayout(run).latest.is_file(),
            initial=initial,
            initial_checkpoint="latest",
        )
        return trainer, trainer.train()

    begun: set[Path] = set()
    for seed in seeds:
        for wish in labels:
            number = round(wish * len(data.train)) if wish <= 1 else round(wish)
            for system in SYSTEMS:
                if any((each.system, each.labels, each.seed) == (system, number, seed) for each in results):
                    continue
                run = folder / f"{system}-{number}-{seed}"
                resolved = recipe_of(recipe, system, seed, wish, tokenizer_file)
                initial = None
                if beginning > 0 and system != SUPERVISED:
                    initial = folder / f"{system}-beginning-{seed}"
                    if initial not in begun:
                        _, outcome = train(_beginning_of(resolved, beginning), initial)
                        if not outcome.finished:
                            return results
                        begun.add(initial)
                trainer, outcome = train(resolved, run, initial and initial.absolute())
                if not outcome.finished:
                    return results
                loaded = load_run(run, "best")
                examples = tokenize_examples(test, loaded.tokenizer, recipe.data.maximum_tokens)
                found = class_probabilities(loaded.model.to(trainer.device), examples, trainer.device)
                result = Result(
                    system,
                    number,
                    seed,
                    round(accuracy(found, class_indices(test.labels, data.classes)), 3),
                    outcome.state.best_score,
                    outcome.state.best_step,
                    round(outcome.state.minutes, 2),
                )
                append_text(record, json.dumps(asdict(result)) + "\n")
                results.append(result)
                finished(result)
    return results


def _known_results(record: Path) -> list[Result]:
    if not record.is_file():
        return []
    return [Result(**json.loads(line)) for line in record.read_text("utf-8").splitlines() if line.strip()]


@dataclass(frozen=True)
class Summary:
    """Results of a system with a number of labels, over seeds.

    Attributes:
        system: The system.
        labels: The number of labels.
        seeds: How many seeds.
        mean: The mean accuracy in percent.
        deviation: Its standard deviation over seeds; nan for one seed.
        gain: The mean difference to the system before it in ``SYSTEMS``, seed by seed; nan for the first.
        interval: Student's confidence interval of that difference over seeds; nan for fewer than two.
    """

    system: str
    labels: int
    seeds: int
    mean: float
    deviation: float
    gain: float
    interval: tuple[float, float]


def summarize(results: Sequence[Result]) -> list[Summary]:
    """Return means, deviations and paired gains, from the most labels to the fewest."""
    by_key = {(each.system, each.labels, each.seed): each.accuracy for each in results}
    summaries = []
    for labels in sorted({each.labels for each in results}, reverse=True):
        for place, system in enumerate(SYSTEMS):
            own = {seed: found for (name, number, seed), found in by_key.items() if (name, number) == (system, labels)}
            if not own:
                continue
            values = list(own.values())
            before = SYSTEMS[place - 1] if place else ""
            differences = [
                found - by_key[before, labels, s] for s, found in own.items() if (before, labels, s) in by_key
            ]
            summaries.append(
                Summary(
                    system,
                    labels,
                    len(values),
                    float(np.mean(values)),
                    float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
                    float(np.mean(differences)) if differences else math.nan,
                    _student_interval(differences),
                )
            )
    return summaries


def _student_interval(differences: Sequence[float]) -> tuple[float, float]:
    if len(differences) < 2:
        return math.nan, math.nan
    half = (
        student.ppf(0.5 + CONFIDENCE / 2, len(differences) - 1) * np.std(differences, ddof=1) / len(differences) ** 0.5
    )
    mean = float(np.mean(differences))
    return mean - float(half), mean + float(half)


def render(summaries: Sequence[Summary]) -> str:
    """Return the summaries as a Markdown table."""
    rows = ["| labels | system | accuracy % | seeds | gain over the row above |", "|---:|---|---:|---:|---:|"]
    for each in summaries:
        deviation = "" if math.isnan(each.deviation) else f" ± {each.deviation:.1f}"
        gain = "–" if math.isnan(each.gain) else f"{each.gain:+.1f}"
        if not math.isnan(each.interval[0]):
            gain += f" ({each.interval[0]:+.1f} to {each.interval[1]:+.1f})"
        rows.append(f"| {each.labels:,} | {each.system} | {each.mean:.1f}{deviation} | {each.seeds} | {gain} |")
    return "\n".join(rows)
