"""Training a classifier of codes with few labels: the loop of every recipe, with labels in the place of rewriting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from arae_transfer.corpus.batches import BatchSchedule, TokenizedSentences, with_end
from arae_transfer.corpus.labelled import Examples, LabelledData, choose_labels, class_indices
from arae_transfer.corpus.single_class import TEXT
from arae_transfer.layout import WhichCheckpoint
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import UNKNOWN_ID, Tokenizer
from arae_transfer.training.batch import make_labelled_batch
from arae_transfer.training.data import TrainingData
from arae_transfer.training.loop import Trainer
from arae_transfer.training.networks import Metrics
from arae_transfer.training.reporter import Reporter
from arae_transfer.training.schedules import classification_step
from arae_transfer.training.validation import ValidationReport, length_batches


def tokenize_examples(examples: Examples, tokenizer: Tokenizer, maximum_tokens: int) -> tuple[TokenizedSentences, ...]:
    """Tokenize every sentence of the examples: a too long one is cut, because each example has an answer."""
    return tuple(
        TokenizedSentences.join([ids[: maximum_tokens - 1] or [UNKNOWN_ID] for ids in tokenizer.encode_lines(lines)])
        for lines in examples.sentences
    )


@torch.no_grad()
def class_probabilities(
    model: ARAE, sentences: Sequence[TokenizedSentences], device: torch.device
) -> npt.NDArray[np.float32]:
    """Return the model's probabilities of the classes for every example: (examples, classes)."""
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
    """Return the percentage of (examples, classes) whose most probable class is the given (examples,)."""
    return 100.0 * float((probabilities.argmax(1) == classes).mean())


class ClassificationTrainer(Trainer):
    """One run of a classification: a classifier of codes taught by some labels, and one decoder of all sentences."""

    def __init__(
        self,
        recipe: Recipe,
        data: LabelledData,
        run: Path,
        reporter: Reporter,
        *,
        device: str = "auto",
        resume: bool = False,
        initial: Path | None = None,
        initial_checkpoint: WhichCheckpoint = "best",
    ) -> None:
        """Set a run up; see ``Trainer``."""
        self._label_names = data.classes
        valid_text = [line for lines in data.valid.sentences for line in lines]
        # The sentences of all classes stand together: one decoder reads no label.
        text = TrainingData({TEXT: data.text()}, {TEXT: valid_text}, data.sources)
        super().__init__(
            recipe,
            text,
            run,
            reporter,
            device=device,
            resume=resume,
            initial=initial,
            initial_checkpoint=initial_checkpoint,
        )
        labels, seed = recipe.labels, recipe.training.seed
        tokenizer, most = self.text.tokenizer, recipe.data.maximum_tokens
        self.train_examples = tokenize_examples(data.train, tokenizer, most)
        self.train_classes = class_indices(data.train.labels, data.classes)
        self.valid_examples = tokenize_examples(data.valid, tokenizer, most)
        self.valid_classes = class_indices(data.valid.labels, data.classes)
        self.chosen = choose_labels(self.train_classes, labels.share, labels.number, seed)
        first = self.train_examples[0]
        known = TokenizedSentences.join(
            [first.ids[first.starts[row] : first.starts[row + 1]].tolist() for row in self.chosen]
        )
        self.label_schedule = BatchSchedule({TEXT: known}, labels.batch_size, seed + 2, batches_per_pool=1)
        reporter.message(f"{len(self.chosen):,} of {len(data.train):,} labels are used")
        for name, examples in (("training", data.train), ("validation", data.valid)):
            if examples.skipped:
                reporter.message(f"{examples.skipped:,} {name} pairs have no gold label and are left out")

    def _model_classes(self) -> tuple[str, ...]:
        return self._label_names

    def _step(self, step: int) -> Metrics:
        generator = np.random.default_rng([self.recipe.training.seed, step, 3])
        rate = self._begin_step(step)
        batch = self.data.batch(step, generator, self.device)
        rows = self.chosen[self.label_schedule.indices(step)[0]]
        examples = make_labelled_batch(self.train_examples, self.train_classes, rows, self.device)
        with self._arithmetic():
            metrics = classification_step(self.networks, examples, batch)
        return metrics | {"learning_rate": rate, "code_noise": self.networks.code_noise}

    def _evaluate(self, model: ARAE) -> ValidationReport:
        found = class_probabilities(model, self.valid_examples, self.device)
        likelihood = found[np.arange(len(found)), self.valid_classes]
        score = accuracy(found, self.valid_classes)
        scores = {"accuracy": score, "nll": float(-np.log(np.maximum(likelihood, 1e-12)).mean()), "score": score}
        return ValidationReport({name: round(value, 4) for name, value in scores.items()}, [])
