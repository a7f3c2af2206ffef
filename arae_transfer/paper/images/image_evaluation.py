"""Evaluation of image models: reconstruction, and a classifier's scores of generated images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from arae_transfer.errors import AraeError
from arae_transfer.paper.images.image_files import Bytes, Images, ImageSource, image_sources, read_split
from arae_transfer.paper.images.image_model import Floats, ImageModel
from arae_transfer.recipe import Image
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.sessions import Sessions

SAMPLES = 10_000
# A generated image counts as recognised where the judge gives one label at least this probability.
CONFIDENCE = 0.9
# Below this accuracy on real images, what the judge says of generated ones means little.
WANTED_ACCURACY = 0.99
_SEED = 1111
_EPOCHS = 5
# Training images are moved by up to so many pixels in each direction.
_SHIFT = 1
_BATCH = 100
_RATE = 3e-3
_NEIGHBOUR_BATCH = 250


class Judge(nn.Module):
    """Convolutional classifier of images: 5 x 5 and 3 x 3 filters, and a hidden layer."""

    def __init__(self, image: Image, labels: int) -> None:
        super().__init__()
        self.image = image
        tall, wide = ((side + 3) // 4 for side in (image.height, image.width))  # halved twice, rounded up
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=2, padding=2),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, padding=1),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(48 * tall * wide, 128),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(128, labels),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Classify (images, pixels) levels: (images, labels) logits."""
        read = values.float().view(-1, 1, self.image.height, self.image.width) / (self.image.levels - 1)
        logits: Tensor = self.layers(read)
        return logits


def train_judge(
    images: Bytes, labels: Bytes, image: Image, progress: Callable[[str], None] = lambda message: None
) -> Judge:
    """Train the classifier on randomly shifted real images: Adam, one cycle of the learning rate.

    Args:
        images: (images, pixels) levels.
        labels: (images,) numbers from 0.
        image: The size and the levels of the images.
        progress: Told what is being done.
    """
    torch.manual_seed(_SEED)
    judge = Judge(image, int(labels.max()) + 1)
    random = np.random.default_rng(_SEED)
    steps = _EPOCHS * max(1, len(images) // _BATCH)
    optimizer = torch.optim.Adam(judge.parameters(), lr=_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps + 1)
    step = 0
    for epoch in range(_EPOCHS):
        order = random.permutation(len(images))
        for start in range(0, max(1, len(images) // _BATCH) * _BATCH, _BATCH):
            rows = order[start : start + _BATCH]
            if step % 100 == 0:
                progress(f"training the classifier: epoch {epoch + 1} of {_EPOCHS}, step {step:,} of {steps:,}")
            moved = _shifted(torch.from_numpy(images[rows]), image, random.integers(0, 2 * _SHIFT + 1, 2).tolist())
            loss = nn.functional.cross_entropy(judge(moved), torch.from_numpy(labels[rows].astype(np.int64)))
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            step += 1
    return judge.eval()


def _shifted(values: Tensor, image: Image, places: list[int]) -> Tensor:
    """Shift images, filling with black; offsets are from 0 to twice the shift: (images, pixels) to the same shape."""
    padded = nn.functional.pad(values.view(-1, image.height, image.width), [_SHIFT] * 4)
    top, left = places
    return padded[:, top : top + image.height, left : left + image.width].flatten(1)


@torch.no_grad()
def judge_images(judge: Judge, values: Bytes) -> npt.NDArray[np.float32]:
    """Return the label probabilities of images: (images, pixels) levels to (images, labels)."""
    parts = [judge(torch.from_numpy(values[start : start + 1000])).softmax(1) for start in range(0, len(values), 1000)]
    shares: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return shares


@torch.no_grad()
def nearest_distances(values: Bytes, training: Bytes, levels: int) -> npt.NDArray[np.float64]:
    """Return the squared distance of each image to the nearest training image, summed over pixels.

    Of binary images this is the number of pixels that differ.

    Args:
        values: (images, pixels) levels.
        training: (training images, pixels) levels.
        levels: The number of levels; the greatest difference of a pixel counts as 1.
    """
    scale = 1.0 / (levels - 1)
    known = torch.from_numpy(training).float() * scale  # (training images, pixels)
    norms = known.square().sum(1)
    found = []
    for start in range(0, len(values), _NEIGHBOUR_BATCH):
        rows = torch.from_numpy(values[start : start + _NEIGHBOUR_BATCH]).float() * scale
        squared = rows.square().sum(1)[:, None] + norms - 2 * rows @ known.T  # (rows, training images)
        found.append(squared.amin(1).clamp(min=0))
    distances: npt.NDArray[np.float64] = torch.cat(found).double().numpy()
    return distances


@dataclass(frozen=True)
class SampleScores:
    """Scores of a set of images.

    Attributes:
        images: Their number.
        recognised: Percent that the judge gives one label at least ``CONFIDENCE``.
        distinct_labels: The labels among the recognised ones, as exp of the entropy of their shares: as many as there
            are labels where all are as frequent, 1 where only one occurs.
        rarest: Percent of the recognised ones that have the rarest label.
        nearest: The median distance to the nearest training image (see ``nearest_distances``).
        copies: Percent that are a training image, pixel by pixel.
        labels: Percent of the recognised ones of each label.
    """

    images: int
    recognised: float
    distinct_labels: float
    rarest: float
    nearest: float
    copies: float
    labels: list[float]


def score_images(values: Bytes, judge: Judge, training: Bytes, neighbours: int = 2000) -> SampleScores:
    """Score a set of images; the nearest training image is searched for the first ``neighbours`` of them."""
    shares = judge_images(judge, values)
    recognised = shares.max(1) >= CONFIDENCE
    counts = np.bincount(shares[recognised].argmax(1), minlength=shares.shape[1])
    frequencies = counts / max(counts.sum(), 1)
    positive = frequencies[frequencies > 0]
    distances = nearest_distances(values[:neighbours], training, judge.image.levels)
    return SampleScores(
        images=len(values),
        recognised=100.0 * float(recognised.mean()),
        distinct_labels=float(np.exp(-(positive * np.log(positive)).sum())) if len(positive) else 0.0,
        rarest=100.0 * float(frequencies.min()),
        nearest=float(np.median(distances)),
        copies=100.0 * float((distances < 0.5 / (judge.image.levels - 1) ** 2).mean()),
        labels=[round(100.0 * float(share), 2) for share in frequencies],
    )


def gaussian_codes(codes: Floats, number: int, seed: int = 0) -> Floats:
    """Draw codes from a Gaussian fitted to codes, projected to the unit sphere.

    Args:
        codes: (images, 1, code_size) of training images.
        number: How many to draw.
        seed: Another seed draws others.

    Returns:
        (number, 1, code_size).
    """
    flat = codes[:, 0].astype(np.float64)
    drawn = np.random.default_rng(seed).multivariate_normal(flat.mean(0), np.cov(flat.T), number, method="eigh")
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    unit: Floats = drawn[:, np.newaxis].astype(np.float32)
    return unit


@dataclass(frozen=True)
class ImageData:
    """Images of an evaluation, class after class.

    Attributes:
        train: (images, pixels) levels.
        train_labels: (images,).
        test: Images of the test split by class.
        test_labels: (images,) the classes' one after the other.
    """

    train: Bytes
    train_labels: Bytes
    test: Mapping[str, Images]
    test_labels: Bytes


def read_image_data(sources: Sequence[ImageSource], image: Image, limit: int | None = None) -> ImageData:
    """Read training and test images with their labels.

    Raises:
        AraeError: A file is missing or damaged, or there are no labels beside the images.
    """
    # All training images: the judge has no part in the training of the model.
    trains = [_labelled(source, "train", image) for source in sources]
    tests = [_labelled(source, "test", image) for source in sources]
    return ImageData(
        np.concatenate([images.values for images, _ in trains]),
        np.concatenate([labels for _, labels in trains]),
        {source.name: Images(images.values[:limit]) for source, (images, _) in zip(sources, tests, strict=True)},
        np.concatenate([labels[:limit] for _, labels in tests]),
    )


def _labelled(source: ImageSource, split: str, image: Image) -> tuple[Images, Bytes]:
    images, labels = read_split(source, split, image)
    if labels is None:
        raise AraeError(
            f"{source.folder} has no labels for the images of {split}, which train the classifier",
            "add the file of labels, such as train-labels-idx1-ubyte.gz.",
        )
    return images, labels


def evaluate_images(
    models: Mapping[str, ImageModel],
    data: ImageData,
    image: Image,
    *,
    samples: int = SAMPLES,
    progress: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Evaluate models of images, beside a Gaussian fitted to each one's codes, and real images.

    Args:
        models: The models by name.
        data: Real images.
        image: Their size and levels.
        samples: How many images each generates.
        progress: Told what is being done.

    Returns:
        Plain data: ``image_models``, ``image_samples`` and ``judge``.

    Raises:
        AraeError: A model lacks a class of the data, or cannot run.
    """
    judge = train_judge(data.train, data.train_labels, image, progress)
    real = np.concatenate([own.values for own in data.test.values()])
    accuracy = float((judge_images(judge, real).argmax(1) == data.test_labels).mean())
    progress("scoring real images")
    scores = {"real images": score_images(real, judge, data.train)}
    reconstruction = {}
    for name, model in models.items():
        missing = [label for label in data.test if label not in model.folder.classes]
        if missing:
            raise AraeError(
                f"the model {name} has no class {', '.join(map(repr, missing))}",
                f"give --data CLASS=FOLDER for its classes: {', '.join(model.folder.classes)}.",
            )
        progress(f"{name} reconstructs")
        reconstruction[name] = {"nll": _nll(model, data.test), "images": len(real)}
        drawn = {}
        if model.has_generator:
            drawn[f"{name}: generator"] = model.sample_codes(samples)
        drawn[f"{name}: Gaussian fitted to its codes"] = gaussian_codes(model.encode(data.train[:samples]), samples)
        for title, codes in drawn.items():
            progress(f"scoring {title}")
            # Where there are several classes, each class's decoder makes its part.
            parts = np.array_split(codes, len(data.test))
            made = [model.decode(part, label) for part, label in zip(parts, data.test, strict=True)]
            scores[title] = score_images(np.concatenate(made), judge, data.train)
    return {
        "image_models": reconstruction,
        "image_samples": {title: asdict(found) for title, found in scores.items()},
        "judge": {"accuracy": 100.0 * accuracy, "confidence": CONFIDENCE, "wanted": 100.0 * WANTED_ACCURACY},
    }


def _nll(model: ImageModel, images: Mapping[str, Images]) -> float:
    """Return the mean negative log-likelihood of reconstruction, in nats per image."""
    total, count = 0.0, 0
    for label, own in images.items():
        for start in range(0, len(own), 500):
            values = own.values[start : start + 500]
            shares = model.probabilities(model.encode(values), label)  # (images, pixels, levels)
            likely = np.take_along_axis(shares, values[:, :, np.newaxis].astype(np.int64), axis=2)
            total -= float(np.log(np.maximum(likely, 1e-30), dtype=np.float64).sum())
            count += len(values)
    return total / count


def evaluate_image_systems(
    systems: Mapping[str, object],
    data: list[str],
    limit: int | None,
    device: str,
    threads: int | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Evaluate models of images.

    Raises:
        AraeError: One is of text or of images of another size, or the data cannot be used.
    """
    models = {}
    for wish, system in systems.items():
        if not isinstance(system, ModelFolder) or system.image is None:
            raise AraeError(f"{wish} is not a model of images, but others here are", "evaluate it separately.")
        models[system.name if system.name not in models else wish] = ImageModel(Sessions(system, device, threads))
    if not data:
        raise AraeError(
            "--data is missing",
            "give the folder of IDX files, images and labels, of the splits train and test (or t10k).",
        )
    shape = next(iter(models.values())).image
    for name, model in models.items():
        if model.image != shape:
            raise AraeError(f"{name} makes images of another size or with other levels", "evaluate it separately.")
    image = Image(height=shape.height, width=shape.width, levels=shape.levels)
    progress("reading")
    read = read_image_data(image_sources(data), image, limit)
    return evaluate_images(models, read, image, samples=min(limit or SAMPLES, SAMPLES), progress=progress)
