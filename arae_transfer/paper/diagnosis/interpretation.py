"""Interpret the numbers of a diagnosis in a sentence or two per experiment."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# The generated codes' variance over the encoded ones', below which the generator is called collapsed, and above
# which it covers the code space.
COLLAPSED = 0.2
COVERING = 0.8
# Differences of norm below this share are none.
SAME_NORM = 0.01

Data = Mapping[str, Any]

TITLES = {
    "norms": "Norm of codes over training",
    "variance": "Variance of codes over training",
    "neighbours": "Similar sentences, similar codes",
    "swaps": "Reconstruction after swapped words",
    "probe": "The class in the code",
    "content": "Information about the sentence in the code",
    "projection": "Code space in two dimensions",
}


def interpret(data: Data) -> dict[str, str]:
    """Return an interpretation of each experiment, by the keys of ``TITLES``."""
    return {
        "norms": _norms(data),
        "variance": _variance(data),
        "neighbours": _neighbours(data),
        "swaps": _swaps(data),
        "probe": _probe(data),
        "content": _content(data),
        "projection": _projection(data),
    }


def _last(data: Data, name: str) -> float | None:
    values = data["history"]["run"][name]["values"]
    return float(values[-1]) if values else None


def _norms(data: Data) -> str:
    real, generated = _last(data, "real_norm"), _last(data, "generated_norm")
    if real is None:
        return "The run recorded no norms."
    if generated is None:
        return f"Encoded codes end at an L2 norm of {real:.3f}; the run trained no generator."
    if abs(real - generated) <= SAME_NORM * real:
        text = f"Generated and encoded codes end at the same L2 norm, {generated:.3f} and {real:.3f}"
        if abs(real - 1) <= SAME_NORM and abs(generated - 1) <= SAME_NORM:
            return f"{text}: both lie on the unit sphere by construction, so the norm shows nothing; see the variance."
        return f"{text}, as in the paper."
    return (
        f"Generated codes end at an L2 norm of {generated:.3f}, encoded ones at {real:.3f}: the generator does "
        "not match them."
    )


def _variance(data: Data) -> str:
    real, generated = _last(data, "real_variance"), _last(data, "generated_variance")
    if real is None:
        return "The run recorded no variances."
    if generated is None:
        return f"The summed variance of encoded codes ends at {real:.3f}; the run trained no generator."
    share = generated / real if real > 0 else 0.0
    text = (
        f"The summed variance of generated codes ends at {generated:.3f}, {100 * share:.0f} % of the encoded "
        f"codes' {real:.3f}"
    )
    if share < COLLAPSED:
        return f"{text}: the generator has collapsed to few codes, so its samples say little about the code space."
    if share < COVERING:
        return f"{text}: the generator covers a part of the code space."
    if share <= 1 / COVERING:
        return f"{text}: the generator covers the code space, by its variance."
    return f"{text}: generated codes are spread more widely than encoded ones."


def _neighbours(data: Data) -> str:
    found = data["neighbours"]
    own = found["run"]
    if own is None:
        return f"No sentence has others within {found['farthest']} edits: give a larger corpus with --data."
    gap = own["near"] - own["random"]
    text = (
        f"Sentences within {found['farthest']} word edits have codes of mean cosine similarity {own['near']:.3f}, "
        f"random pairs {own['random']:.3f} ({found['anchors']:,} sentences, each with {found['partners']:.0f} others "
        "on average"
    )
    if not data["pooling"].startswith("none"):
        text += f"; {data['pooling']} represents a code"
    verdict = (
        "similar sentences have similar codes"
        if gap > 0.05
        else "the code hardly distinguishes similar sentences from others"
    )
    text += f"): {verdict}."
    other = found.get("baseline")
    if other:
        other_gap = other["near"] - other["random"]
        margin = own["near_interval"] or 0.0
        if abs(gap - other_gap) <= margin + (other["near_interval"] or 0.0):
            relation = "about as far apart"
        else:
            relation = "closer together" if gap < other_gap else "farther apart"
        text += (
            f" In the plain autoencoder these are {other['near']:.3f} and {other['random']:.3f}; in this run near and "
            f"random pairs are {relation} ({gap:.3f} against {other_gap:.3f})."
        )
    return text


def _swaps(data: Data) -> str:
    own = data["swaps"]["run"]
    last = len(own["nll"]) - 1
    text = (
        f"From the code of a sentence with {last} swaps, its original costs {own['nll'][-1]:.1f} nats instead "
        f"of {own['nll'][0]:.1f}, and {own['restored'][-1]:.1f} % instead of {own['restored'][0]:.1f} % are "
        "reconstructed exactly."
    )
    other = data["swaps"].get("baseline")
    if other:
        text += f" The plain autoencoder needs {other['nll'][-1]:.1f} instead of {other['nll'][0]:.1f}: {_gain(data)}."
    return text


def _gain(data: Data) -> str:
    """Return the interpretation of differences from the plain autoencoder after swaps."""
    own, other, difference = (data["swaps"][name] for name in ("run", "baseline", "difference"))
    sure = [
        0 if interval is None or abs(mean) <= interval else -1 if mean < 0 else 1
        for mean, interval in zip(difference["nll"][1:], difference["interval"][1:], strict=True)
    ]
    share = 100 * abs(sum(own["nll"][1:]) / max(sum(other["nll"][1:]), 1e-9) - 1)
    caution = "for one training of each"
    if all(sign < 0 for sign in sure):
        return f"this run repairs swaps {share:.1f} % better, significantly over sentences, {caution}"
    if all(sign > 0 for sign in sure):
        return f"this run repairs swaps {share:.1f} % worse, so the paper's gain does not show, {caution}"
    if any(sure) and len(set(sure) - {0}) == 1:
        better = ", ".join(str(number) for number, sign in enumerate(sure, 1) if sign)
        equal = ", ".join(str(number) for number, sign in enumerate(sure, 1) if not sign)
        how = "better" if min(sure) < 0 else "worse"
        return (
            f"this run repairs {better} swaps {how} (at {equal} not significantly over sentences), {share:.1f} "
            f"% over all, {caution}"
        )
    return f"the runs differ by {share:.1f} %, not significantly at every number of swaps"


def _probe(data: Data) -> str:
    own = data["probe"]["run"]
    if len(data["run"]["classes"]) == 1:
        return "With one class, the code need not encode it."
    if own is None:
        return "There are too few sentences to fit a probe."
    # The standard error of a share, doubled.
    margin = 2 * (own["accuracy"] * (100 - own["accuracy"]) / own["tested"]) ** 0.5
    above = (own["accuracy"] - own["chance"]) / max(own["words"] - own["chance"], 1e-9)
    if own["accuracy"] - margin <= own["chance"]:
        verdict = "a linear probe cannot recognize the class from the code"
    elif above < 0.5:
        verdict = "most of the class is removed from the code, but not all"
    else:
        verdict = "the code still reveals the class, so the decoders may copy its style"
    text = (
        f"A fresh logistic regression recovers the class from the code with {own['accuracy']:.1f} % held-out accuracy "
        f"(from the words: {own['words']:.1f} %, chance: {own['chance']:.1f} %): {verdict}."
    )
    other = data["probe"].get("baseline")
    return f"{text} For the baseline: {other['accuracy']:.1f} %." if other else text


def _content(data: Data) -> str:
    own = data["content"]["run"]
    text = (
        f"{own['exact']:.1f} % of held-out sentences are reconstructed exactly (BLEU {own['bleu']:.1f}). The "
        f"code reduces a sentence's cost from {own['sentence_bits']:.0f} bits (5-gram model) to "
        f"{own['bits']:.0f}: it carries about {own['carried_bits']:.0f} bits."
    )
    if own["capacity"] is None:
        return f"{text} No noise on the code limits it."
    return (
        f"{text} With the training noise of {own['code_noise']:g}, its capacity is at most "
        f"{own['capacity']:,.0f} bits ({own['vectors']:.1f} vectors of {own['capacity_per_vector']:,.0f}), and "
        f"{own['capacity_of_covariance']:,.0f} with the codes' own covariance."
    )


def _projection(data: Data) -> str:
    own = data["projection"]["run"]
    first, second = own["explained"]
    text = (
        f"Two principal components show {first + second:.0f} % of the variance of the codes ({first:.0f} and "
        f"{second:.0f} %); the other components may still separate the classes."
    )
    if not own["generated"]:
        return text
    encoded = [point for points in own["points"].values() for point in points]
    shares = [
        100 * _spread(own["generated"], axis) / spread if (spread := _spread(encoded, axis)) > 0 else 0.0
        for axis in (0, 1)
    ]
    pooled = "" if data["pooling"].startswith("none") else f" ({data['pooling']} represents a code)"
    return (
        f"{text} Along them generated codes have {shares[0]:.0f} and {shares[1]:.0f} % of the encoded codes' variance"
        f"{pooled}."
    )


def _spread(points: Sequence[Sequence[float]], axis: int) -> float:
    """Return the variance of points along an axis."""
    return statistics.pvariance([point[axis] for point in points])


def render_markdown(data: Data, plots: Mapping[str, str], remark: str = "") -> str:
    """Return a report: each experiment's sentences and plot, and examples of mended sentences.

    Args:
        data: The diagnosis.
        plots: The file names of the plots, by the keys of ``TITLES``.
        remark: A paragraph at the end, such as how to train the baseline that is missing.
    """
    run = data["run"]
    parts = [f"# Diagnosis of {run['name']}, step {run['step']:,}", _method(data)]
    for key, text in interpret(data).items():
        parts += [f"## {TITLES[key]}", text]
        if key in plots:
            parts.append(f"![{TITLES[key]}]({plots[key]})")
        if key == "swaps":
            parts.append(_examples(data))
    return "\n\n".join([*parts, *([remark] if remark else [])]) + "\n"


def _method(data: Data) -> str:
    return (
        f"{data['sentences']:,} held-out sentences; seed {data['seed']}. What stands for a code where one vector is "
        f"needed (similarity, probe, projection): {data['pooling']}."
    )


def _examples(data: Data) -> str:
    lines = []
    for example in data["swaps"]["examples"]:
        if example["swaps"] == 1:
            lines += ["", f"- original: {example['original']}"]
        lines += [f"  - {example['swaps']} swapped: {example['swapped']}", f"    - run: {example['run']}"]
        if "baseline" in example:
            lines.append(f"    - plain autoencoder: {example['baseline']}")
    return "\n".join(lines).strip()
