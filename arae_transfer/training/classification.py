"""Data of a classification: sentences for the code space, and labels for a classifier of codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from arae_transfer.corpus.batches import BatchSchedule, TokenizedSentences, with_end
from arae_transfer.corpus.labelled import Examples, LabelledData, choose_labels, class_indices
from arae_transfer.corpus.single_class import TEXT
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tasks.task import RunSetting, StepContext
from arae_transfer.tokenizer import UNKNOWN_ID, Tokenizer
from arae_transfer.training.batch import make_labelled_batch
from arae_transfer.training.data import PreparedText, TrainingData
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.schedules import classification_step
from arae_transfer.training.validation import ValidationReport, length_batches


def tokenize_examples(examples: Examples, tokenizer: Tokenizer, maximum_tokens: int) -> tuple[TokenizedSentences, ...]:
    """Tokenize all sentences of the examples, and truncate those that are too long."""
    return tuple(
        TokenizedSentences.join([ids[: maximum_tokens - 1] or [UNKNOWN_ID] for ids in tokenizer.encode_lines(lines)])
        for lines in examples.sentences
    )


@torch.no_grad()
def class_probabilities(
    model: ARAE, sentences: Sequence[TokenizedSentences], device: torch.device
) -> npt.NDArray[np.float32]:
    """Return the class probabilities of every example: (examples, classes)."""
    was_training = model.training
    model.eval()
    found = np.zeros((len(sentences[0]), len(model.classes)), dtype=np.float32)
    for chosen in length_batches(sentences[0], len(sentences[0])):
        codes = []
        for corpus in sentences:
            tokens, lengths = (torch.from_numpy(array).to(device) for array in with_end(*corpus.padded(chosen)))
            codes.append(model.encoder(tokens, lengths))
        found[chosen] = model.classifier(codes).softmax(1).float().cpu().numpy()
    model.train(was_training)
    return found


def accuracy(probabilities: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]) -> float:
    """Return the accuracy in percent of (examples, classes) probabilities against (examples,) classes."""
    return 100.0 * float((probabilities.argmax(1) == classes).mean())


class PreparedExamples(PreparedText):
    """Data of a classification: all sentences for one decoder, and labelled examples.

    Attributes:
        train_examples: The sentences of each training example, one or two.
        train_classes: (examples,) the index of each one's class.
        valid_examples: The sentences of each held-out example.
        valid_classes: (examples,) the index of each one's class.
        chosen: The indices of the examples whose labels are used.
    """

    def __init__(self, recipe: Recipe, data: LabelledData, setting: RunSetting) -> None:
        """Tokenize the sentences, and choose the labels.

        Raises:
            AraeError: The data cannot be used.
        """
        self._label_names = data.classes
        valid_text = [line for lines in data.valid.sentences for line in lines]
        # The sentences of all classes stand together: one decoder reads no label.
        super().__init__(recipe, TrainingData({TEXT: data.text()}, {TEXT: valid_text}, data.sources), setting)
        labels, seed, most = recipe.labels, recipe.training.seed, recipe.data.maximum_tokens
        self.train_examples = tokenize_examples(data.train, self.tokenizer, most)
        self.train_classes = class_indices(data.train.labels, data.classes)
        self.valid_examples = tokenize_examples(data.valid, self.tokenizer, most)
        self.valid_classes = class_indices(data.valid.labels, data.classes)
        self.chosen = choose_labels(self.train_classes, labels.share, labels.number, seed)
        first = self.train_examples[0]
        known = TokenizedSentences.join(
            [first.ids[first.starts[row] : first.starts[row + 1]].tolist() for row in self.chosen]
        )
        self.label_schedule = BatchSchedule({TEXT: known}, labels.batch_size, seed + 2, batches_per_pool=1)
        setting.reporter.message(f"uses {len(self.chosen):,} of {len(data.train):,} labels")
        for name, examples in (("training", data.train), ("validation", data.valid)):
            if examples.skipped:
                setting.reporter.message(f"left out {examples.skipped:,} {name} pairs without a gold label")

    @property
    def model_classes(self) -> tuple[str, ...]:
        """Classes of the labels."""
        return self._label_names

    def step(self, networks: Networks, context: StepContext) -> Metrics:
        """Update the networks on labelled examples and on all sentences."""
        batch = self.batch(context.step, context.generator, context.device)
        rows = self.chosen[self.label_schedule.indices(context.step)[0]]
        examples = make_labelled_batch(self.train_examples, self.train_classes, rows, context.device)
        return classification_step(networks, examples, batch)

    def validate(self, model: ARAE, device: torch.device) -> ValidationReport:
        """Score the classifier on held-out examples."""
        found = class_probabilities(model, self.valid_examples, device)
        likelihood = found[np.arange(len(found)), self.valid_classes]
        score = accuracy(found, self.valid_classes)
        scores = {"accuracy": score, "nll": float(-np.log(np.maximum(likelihood, 1e-12)).mean()), "score": score}
        return ValidationReport({name: round(value, 4) for name, value in scores.items()}, [])
