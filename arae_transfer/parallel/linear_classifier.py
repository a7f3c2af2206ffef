"""Linear classifier of lines by words and word pairs.

Its two users must not share a trained classifier: the linear classifier of evaluation learns from text that no model
has seen, and that of mining from the training text.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn import __version__ as scikit_learn_version
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class LinearClassifier:
    """Logistic regression on tf-idf of words and word pairs.

    Classes have equal weight, whatever their number of lines, and training uses no random numbers.

    Attributes:
        classes: The classes in the order of their numbers.
        description: A description with all settings, enough to reproduce it.
    """

    def __init__(self, lines: Mapping[str, Sequence[str]]) -> None:
        """Train on lines by class, with words separated by spaces."""
        self.classes = tuple(lines)
        total = sum(map(len, lines.values()))
        rare = 2 if total >= 10_000 else 1
        self.description = (
            f"logistic regression (C=4, balanced) on tf-idf of words and word pairs that occur {rare} times or "
            f"more (scikit-learn {scikit_learn_version})"
        )
        self._vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), min_df=rare, sublinear_tf=True, tokenizer=str.split, token_pattern=None, lowercase=False
        )
        features = self._vectorizer.fit_transform([line for own in lines.values() for line in own])
        labels = np.repeat(np.arange(len(lines)), [len(own) for own in lines.values()])
        self._regression = LogisticRegression(C=4.0, class_weight="balanced", max_iter=100, tol=1e-5)
        with warnings.catch_warnings():  # a last digit that is not settled changes no verdict
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regression.fit(features, labels)

    def classify(self, lines: Sequence[str]) -> Integers:
        """Return the class index of each line: (lines,)."""
        classes: Integers = self._regression.predict(self._vectorizer.transform(lines)).astype(np.int64)
        return classes

    def probabilities(self, lines: Sequence[str]) -> Floats:
        """Return the class probabilities of each line: (lines, classes), rows sum to 1."""
        probabilities: Floats = self._regression.predict_proba(self._vectorizer.transform(lines))
        return probabilities
