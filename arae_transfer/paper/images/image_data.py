"""Images of a run, and their validation; ``data.PreparedText`` is the counterpart for sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from arae_transfer.corpus.batches import BatchSchedule, IntegerArray
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.model.arae import ARAE
from arae_transfer.paper.images.image_files import Images, brightness, fingerprint_images
from arae_transfer.paper.images.image_networks import image_decoder
from arae_transfer.paper.images.picture import encode_png, strips
from arae_transfer.recipe import Recipe
from arae_transfer.tasks.task import StepContext
from arae_transfer.training import losses
from arae_transfer.training.batch import Batch
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.schedules import scheduled_step
from arae_transfer.training.validation import ValidationReport

_BATCH = 500
# Columns of the picture of a validation, and its rows of generated images.
_SHOWN, _GENERATED_ROWS = 16, 4
# Generated images are those of the same noise each time, so that pictures of a run can be compared.
_SEED = 1111


@dataclass(frozen=True)
class ImageData:
    """Images by class, in the order of the classes.

    Attributes:
        train: Images to learn from.
        valid: Held-out images.
        sources: What ``--data`` named, so that a run can be continued without saying it again.
    """

    train: Mapping[str, Images]
    valid: Mapping[str, Images]
    sources: tuple[str, ...] = ()


class PreparedImages:
    """The images of a run, and the batches of each step.

    Attributes:
        noun: What the data are, in messages.
        classes: The classes, in order.
        train: Training images by class.
        valid: Held-out images by class.
        style: None: pixels bear no style of their own.
        schedule: Which training images are in the batch of a step.
    """

    noun = "images"

    def __init__(self, recipe: Recipe, data: ImageData) -> None:
        """Prepare images from ``corpus.images.read_split``."""
        self.recipe = recipe
        self.classes = tuple(data.train)
        self.train = dict(data.train)
        self.valid = dict(data.valid)
        self.style: StyleTokens | None = None
        self.vocabulary_size = recipe.image.levels
        self.schedule = BatchSchedule(self.train, recipe.training.batch_size, recipe.training.seed)

    def fingerprint(self) -> str:
        """Return a hash of the training images."""
        return fingerprint_images(self.train)

    def save(self) -> None:
        """Write nothing: the recipe describes how to read images."""

    def initialize(self, model: ARAE) -> None:
        """Keep the weights as they are."""

    def prepare_parallel(self, model: ARAE) -> None:
        """Do nothing: images have no rewrites."""

    def batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return the batch of a step."""
        return self._gather(self.schedule.indices(step), device)

    def random_batch(self, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return a random batch of images."""
        size = self.recipe.adversary.batch_size or self.recipe.training.batch_size
        return self._gather([generator.integers(0, len(own), size) for own in self.train.values()], device)

    def parallel_batch(self, step: int, generator: np.random.Generator, device: torch.device) -> None:
        """Return None: images have no parallel examples."""

    @property
    def model_classes(self) -> tuple[str, ...]:
        """Classes that the model distinguishes."""
        return self.classes

    def step(self, networks: Networks, context: StepContext) -> Metrics:
        """Update every network once, in the order of the recipe's schedule."""
        return scheduled_step(self, networks, context)

    def validate(self, model: ARAE, device: torch.device) -> ValidationReport:
        """Score a model on the held-out images."""
        return validate_images(model, self.recipe, self.valid, device)

    def _gather(self, chosen: list[IntegerArray], device: torch.device) -> Batch:
        parts = [own.whole(rows) for own, rows in zip(self.train.values(), chosen, strict=True)]
        classes = np.repeat(np.arange(len(parts)), [len(rows) for rows in chosen])
        pixels, lengths, which = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (np.concatenate([one for one, _ in parts]), np.concatenate([two for _, two in parts]), classes)
        )
        # The encoder reads what is reconstructed: the paper's model of images damages the code alone.
        return Batch(pixels, lengths, pixels, lengths, which)


@torch.no_grad()
def validate_images(
    model: ARAE, recipe: Recipe, images: Mapping[str, Images], device: torch.device
) -> ValidationReport:
    """Reconstruct the first ``validation.sentences`` held-out images of each class, and generate as many codes.

    Args:
        model: The model (its averaged weights, where the recipe averages).
        recipe: The recipe.
        images: Held-out images by class.
        device: Where the model is.

    Returns:
        ``nll`` of reconstruction in nats per image; ``pixels``, percent of pixels whose most likely level is theirs;
        with an adversary ``code_distance``, the Fréchet distance between held-out and generated codes; and ``score``,
        which chooses the best checkpoint: the geometric mean of ``pixels`` and, with an adversary, of the closeness
        100 (1 - distance / 4), where 4 is the most that codes of norm 1 can be apart.
    """
    was_training = model.training
    model.eval()
    nll, right, total = 0.0, 0, 0
    codes: list[Tensor] = []
    shown: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    shape = (-1, recipe.image.height, recipe.image.width)
    noise = torch.Generator().manual_seed(_SEED)
    for index, own in enumerate(images.values()):
        decoder = image_decoder(model, index)
        count = min(recipe.validation.sentences, len(own))
        for start in range(0, count, _BATCH):
            chosen = np.arange(start, min(start + _BATCH, count))
            pixels, lengths = (torch.from_numpy(array).to(device) for array in own.whole(chosen))
            code, mask = model.encoder(pixels, lengths)
            logits, wanted = decoder(pixels, code, mask)
            nll += float(losses.reconstruction_loss(logits, wanted)) * len(wanted)
            right += int((logits.argmax(1) == wanted).sum())
            total += len(chosen)
            codes.append(code[:, 0])
            if start == 0:
                back = decoder.expected(code[:_SHOWN]).cpu().numpy()
                for rows in (pixels[:_SHOWN].cpu().numpy(), back):
                    shown.append(brightness(rows, recipe.image.levels).reshape(shape))
        if recipe.adversary.weight > 0:
            for _ in range(_GENERATED_ROWS):
                made = _generate(model, len(shown[0]), noise, device)
                shown.append(brightness(decoder.expected(made).cpu().numpy(), recipe.image.levels).reshape(shape))
    percent = 100.0 * right / (total * recipe.image.height * recipe.image.width)
    scores = {"nll": nll / total, "pixels": percent, "score": percent}
    if recipe.adversary.weight > 0:
        distance = frechet_distance(torch.cat(codes), _generate(model, total, noise, device)[:, 0])
        scores["code_distance"] = distance
        scores["score"] = math.sqrt(percent * max(0.0, 100.0 * (1.0 - distance / 4.0)))
    model.train(was_training)
    fewest = min(map(len, shown))
    picture = encode_png(strips([row[:fewest] for row in shown]))
    return ValidationReport({name: round(value, 4) for name, value in scores.items()}, [], picture)


def _generate(model: ARAE, number: int, random: torch.Generator, device: torch.device) -> Tensor:
    """Return generated codes: (number, 1, code_size)."""
    noise = torch.randn(number, model.generator.noise_size, generator=random).to(device)
    code: Tensor = model.generator(noise, torch.ones(number, 1, dtype=torch.bool, device=device))
    return code


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the squared Fréchet distance of the Gaussians fitted to two sets of codes (Dowson and Landau 1982).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)). Both (codes, size). It falls with the number of codes, so compare
    distances of as many.
    """
    moments = []
    for codes in (first.double(), second.double()):
        centred = codes - codes.mean(0)
        moments.append((codes.mean(0), centred.T @ centred / max(len(codes) - 1, 1)))
    (mean1, spread1), (mean2, spread2) = moments
    values, vectors = torch.linalg.eigh(spread1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # The eigenvalues of S1 S2 are those of the symmetric product, whose roots are safe to take.
    cross = torch.linalg.eigvalsh(root @ spread2 @ root).clamp(min=0).sqrt().sum()
    return float((mean1 - mean2).square().sum() + spread1.trace() + spread2.trace() - 2 * cross)
