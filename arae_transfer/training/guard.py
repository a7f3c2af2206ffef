"""Warn about training failures that raise no error.

Adversarial training fails quietly: losses stay finite while nothing is learned. Each such state is reported once, with
its figures and the recipe key to change. The thresholds lie between the figures of healthy runs and of runs that were
made to fail; the comments beside them give these figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from arae_transfer.recipe import Recipe
from arae_transfer.tasks import task_of

# The beginning of a training looks like every failure: codes alike, decoders that do not yet read them.
GRACE = 0.1
MINIMUM_STEPS = 20
# A sign must stand in this many records one after the other.
PATIENCE = 2
# Summed over dimensions, of unit vectors; healthy 0.85 to 0.96, collapsed 0.02.
ALIKE = 0.05
# Share by which another sentence's code raises the reconstruction's loss; healthy 0.2 and more, collapsed 0.0001.
IGNORED = 0.01
# Of one update, relative to the weights; healthy 1e-3, learning rate 0: 0.
STILL = 1e-7
# Standard deviation of the critic's scores on unit codes; healthy 0.03 and more.
CONSTANT = 1e-6
# Norm of the noise beside a code's norm of 1; the paper's is 1.1.
DROWNING = 2.0
# Share of the way from chance to certainty; healthy 0.0 to 0.25, encoder without the classifier's term 0.9.
NEVER_HIDDEN = 0.7
NEVER_HIDDEN_GRACE = 0.3
NEVER_HIDDEN_PATIENCE = 4


class CollapseGuard:
    """Reads the logged figures of a run; a resumed run replays its log.

    Args:
        recipe: The recipe.
        classes: The number of classes.
        steps: The steps of the whole training.
    """

    def __init__(self, recipe: Recipe, classes: int, steps: int) -> None:
        self._recipe = recipe
        self._chance = 1.0 / classes
        self._steps = steps
        self._said: set[str] = set()
        self._seen: defaultdict[str, int] = defaultdict(int)

    def observe(self, step: int, figures: Mapping[str, Any]) -> list[str]:
        """Read the figures of a log record, by ``kind/name``, and return new warnings."""
        if step < max(MINIMUM_STEPS, GRACE * self._steps):
            return []
        found = [
            self._codes_alike(figures.get("train/real_variance")),
            self._still("critic", "adversary.learning_rate", figures.get("train/critic_update_ratio")),
            self._constant_critic(figures.get("diagnostics/critic_spread")),
            self._ignored_code(figures.get("diagnostics/code_use")),
            self._still("classifier", "attribute.learning_rate", figures.get("train/classifier_update_ratio")),
            self._open_class(step, figures.get("train/classifier_accuracy")),
        ]
        return [f"step {step:,}: {text}" for text in found if text is not None]

    def _holds(self, kind: str, sign: bool, patience: int = PATIENCE) -> bool:
        """Count a sign of failure, and return whether it has lasted long enough and is new."""
        self._seen[kind] = self._seen[kind] + 1 if sign else 0
        if self._seen[kind] < patience or kind in self._said:
            return False
        self._said.add(kind)
        return True

    def _less_noise(self) -> str | None:
        """Return a remedy for code noise that drowns the codes, which have norm 1."""
        model = self._recipe.model
        norm = model.code_noise * model.code_size**0.5
        return f"lower model.code_noise ({model.code_noise:g}: noise of norm {norm:.1f})" if norm > DROWNING else None

    def _codes_alike(self, variance: float | None) -> str | None:
        if variance is None or not self._holds("codes", variance < ALIKE):
            return None
        recipe = self._recipe
        weights = {"adversary.weight": recipe.adversary.weight, "attribute.weight": recipe.attribute.weight}
        terms = [f"{key} ({weight:g})" for key, weight in weights.items() if weight > 0]
        remedy = self._less_noise()
        if remedy is None and terms:
            remedy = f"lower {' or '.join(terms)}"
        if remedy is None:
            remedy = f"lower training.learning_rate ({recipe.training.learning_rate:g})"
        return f"all sentences have almost the same code (variance {variance:.3f} of at most 1); {remedy}."

    def _still(self, network: str, key: str, ratio: float | None) -> str | None:
        if ratio is None or not self._holds(f"{network} still", ratio < STILL):
            return None
        section, _, name = key.partition(".")
        value = getattr(getattr(self._recipe, section), name)
        return f"the {network} does not learn (an update changes {ratio:.0e} of its weights); raise {key} ({value:g})."

    def _constant_critic(self, spread: float | None) -> str | None:
        if spread is None or self._recipe.adversary.weight == 0 or not self._holds("critic", spread < CONSTANT):
            return None
        adversary = self._recipe.adversary
        key, value = ("clip", adversary.clip) if adversary.constraint == "clip" else ("penalty", adversary.penalty)
        return (
            f"the critic gives all codes the same score (spread {spread:.0e}), so generator and encoder learn "
            f"nothing from it; {'raise' if key == 'clip' else 'lower'} adversary.{key} ({value:g})."
        )

    def _ignored_code(self, use: float | None) -> str | None:
        if not task_of(self._recipe).decoders_learn(self._recipe):
            return None
        # Where all codes are alike there is nothing to read, and that is said; unless it came of the same cause.
        remedy = self._less_noise()
        if use is None or ("codes" in self._said and remedy is None) or not self._holds("decoders", use < IGNORED):
            return None
        if remedy is None:
            remedy = f"raise model.word_dropout ({self._recipe.model.word_dropout:g}), so that they need it"
        return (
            "the decoders ignore the code: another sentence's code changes the reconstruction loss by "
            f"{100 * use:.1f} %; {remedy}."
        )

    def _open_class(self, step: int, accuracy: float | None) -> str | None:
        if accuracy is None or step < NEVER_HIDDEN_GRACE * self._steps:
            return None
        share = (accuracy - self._chance) / (1 - self._chance)
        if not self._holds("class", share > NEVER_HIDDEN, NEVER_HIDDEN_PATIENCE):
            return None
        return (
            f"the encoder does not hide the class: the classifier recognizes it in {100 * accuracy:.0f} % of "
            f"the codes; raise attribute.weight ({self._recipe.attribute.weight:g})."
        )
