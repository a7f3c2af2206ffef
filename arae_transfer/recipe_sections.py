"""The sections of a recipe as dataclasses; the documentation of every key is here only."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Value = TypeVar("Value")


def setting(default: Value, help: str, *, minimum: float = -math.inf, maximum: float = math.inf) -> Value:
    """Declare a recipe field with its documentation and its valid range."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum}
    if isinstance(default, tuple | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Data:
    """The training data."""

    kind: Literal["text", "image"] = setting("text", "The kind of data: sentences, or images (IDX files; see [image]).")
    builtin: Literal["", "quickstart"] = setting("", "The built-in corpus to use without --data; empty: none.")
    classes: tuple[str, ...] = setting((), "The classes in order; empty: all classes in the data, sorted by name.")
    text_column: str = setting(
        "text", "The table column that holds the text: its name, its number from 1, or a path such as review.body."
    )
    label_column: str = setting("label", "The table column that holds the class: name, number or path.")
    labels: Mapping[str, str] = setting(
        {},
        'The class of each label in a table, such as {"1": "negative", "5": "positive"}; rows with other '
        "labels are skipped and counted. Empty: each label is a class.",
    )
    encoding: str = setting("utf-8", "The encoding of text files, such as latin-1.")
    keep_near_duplicates: bool = setting(
        False,
        "Whether to keep training lines that equal a held-out line except for case, punctuation and numbers; "
        "they make scores too good.",
    )
    maximum_characters: int = setting(2000, "Longer lines are skipped and counted.", minimum=1, maximum=10_000_000)
    writing: Literal["corpus", "ordinary", "auto"] = setting(
        "corpus",
        "The form of the data: corpus (as [form] describes), ordinary (as people write; converted on reading), "
        "or auto to detect it.",
    )
    adapt: bool = setting(
        False,
        "Whether to adapt the recipe to the corpus: the model is named after its run; vocabulary, "
        "maximum_tokens, parallel examples, length of training and validation follow from the corpus, with the "
        "recipe's values as maxima.",
    )
    maximum_tokens: int = setting(
        40,
        "Training skips sentences with more tokens and counts them; the model truncates longer input.",
        minimum=2,
        maximum=1000,
    )


@dataclass(frozen=True)
class Image:
    """Images, their encoder and decoder; used if data.kind is "image" (the paper's binarised MNIST model)."""

    height: int = setting(28, "The height of images in pixels.", minimum=1, maximum=1024)
    width: int = setting(28, "The width of images in pixels.", minimum=1, maximum=1024)
    levels: int = setting(2, "The number of brightness levels of pixels; 2: black and white.", minimum=2, maximum=256)
    held_out: float = setting(
        0.1,
        "The share of the training images, from the end, to use for validation if there is no file for it.",
        minimum=0,
        maximum=0.9,
    )
    encoder_layers: tuple[int, ...] = setting((800, 400), "The hidden sizes of the image encoder.")
    decoder_layers: tuple[int, ...] = setting((400, 800, 1000), "The hidden sizes of each image decoder.")


@dataclass(frozen=True)
class Tokenization:
    """Tokenization of lines."""

    vocabulary_size: int = setting(
        8000, "The number of tokens, including 260 special and byte tokens.", minimum=261, maximum=200_000
    )
    model: str = setting("", "A SentencePiece model file to use; empty: train one on the corpus.")


@dataclass(frozen=True)
class InputNoise:
    """Noise in the encoder's input during training; the target stays unchanged (denoising autoencoder)."""

    drop: float = setting(0.0, "The probability of dropping a token from the input.", minimum=0, maximum=1)
    shuffle: float = setting(0.0, "How far tokens move in the input, in positions; 0 keeps the order.", minimum=0)
    style_share: float = setting(
        0.0, "The share of sentences whose style-bearing tokens are dropped or replaced as well.", minimum=0, maximum=1
    )
    style_drop: float = setting(
        0.0, "The probability of dropping an entirely style-bearing token.", minimum=0, maximum=1
    )
    style_replace: float = setting(
        0.0,
        "The probability of replacing an entirely style-bearing token by one of another class.",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Model:
    """The encoder, the decoders and the code between them."""

    code: Literal["single", "superposed", "sequence"] = setting(
        "single",
        "The code of a sentence. single: the encoder's last state (the paper); superposed: the token vectors, "
        "each permuted by its position, summed into one vector (holographic binding) that decoders attend to; "
        "sequence: one vector per token.",
    )
    code_size: int = setting(128, "The number of dimensions of a code vector.", minimum=2)
    code_noise: float = setting(0.1, "The standard deviation of the Gaussian noise on each code dimension.", minimum=0)
    code_noise_decay: float = setting(0.9995, "The factor on the code noise every 100 steps.", minimum=0, maximum=1)
    embedding_size: int = setting(128, "The number of dimensions of token embeddings.", minimum=2)
    hidden_size: int = setting(128, "The number of dimensions of the LSTM states per direction.", minimum=2)
    encoder: Literal["lstm", "transformer"] = setting(
        "lstm", "The encoder: an LSTM, or a Transformer in the layout of BERT for the task editing."
    )
    encoder_layers: int = setting(1, "The layers of the encoder.", minimum=1, maximum=24)
    attention_heads: int = setting(12, "The number of attention heads of a Transformer layer.", minimum=1, maximum=64)
    inner_size: int = setting(1536, "The number of dimensions of the feed-forward layers of a Transformer.", minimum=1)
    frozen_layers: int = setting(
        0,
        "The number of first Transformer layers that stay frozen; from 1 on, the embeddings stay frozen too.",
        minimum=0,
        maximum=24,
    )
    pretrained: str = setting(
        "",
        "A folder with the model.safetensors and vocab.txt of a BERT of this size, to initialize the "
        "embeddings and first layers of a Transformer; empty: random initialization.",
    )
    bidirectional: bool = setting(False, "Whether the encoder reads in both directions.")
    decoder_layers: int = setting(1, "The number of LSTM layers of each decoder.", minimum=1, maximum=8)
    shared_embeddings: bool = setting(False, "Whether encoder, decoders and output layer share one embedding table.")
    residual: bool = setting(
        False,
        "Whether to add a residual connection from each token's embedding to its code vector, and from the "
        "attended vector to the output layer, so that kept words pass through from the start; requires "
        'shared_embeddings and a code that decoders attend to: "superposed", or "sequence" with code_size = '
        "embedding_size.",
    )
    dropout: float = setting(0.0, "The dropout on embeddings and between layers.", minimum=0, maximum=0.95)
    word_dropout: float = setting(
        0.0, "The probability of hiding the preceding token from a decoder.", minimum=0, maximum=1
    )

    @property
    def one_vector(self) -> bool:
        """Whether the code of a sentence is one vector, of any kind."""
        return self.code != "sequence"

    @property
    def attended_size(self) -> int:
        """Number of dimensions of the vectors that decoders attend to."""
        return self.embedding_size if self.code == "superposed" else self.code_size


@dataclass(frozen=True)
class Adversary:
    """Generator and Wasserstein critic, which shape the code space (paper, Section 3)."""

    weight: float = setting(
        1.0,
        "Lambda 1, the weight of the critic's term in the encoder's loss; 0: no generator and no critic, a "
        "plain autoencoder.",
        minimum=0,
    )
    noise_size: int = setting(32, "The number of dimensions of the generator's input z.", minimum=1)
    generator_layers: tuple[int, ...] = setting((128, 128), "The hidden sizes of the generator.")
    critic_layers: tuple[int, ...] = setting((128, 128), "The hidden sizes of the critic.")
    constraint: Literal["clip", "gradient-penalty"] = setting(
        "gradient-penalty",
        "The Lipschitz constraint of the critic: weight clipping (the paper) or a gradient penalty (the "
        "authors' later choice).",
    )
    clip: float = setting(0.01, "The bound of weight clipping.", minimum=1e-6)
    penalty: float = setting(
        10.0, "The weight of the gradient penalty, which pulls per-sample norms towards 1.", minimum=0
    )
    critic_updates: int = setting(5, "The number of critic updates per step.", minimum=1, maximum=100)
    batch_size: int = setting(
        0,
        "The number of sentences per class in an update of critic and generator in the alternating schedule; "
        "0: training.batch_size.",
        minimum=0,
    )
    learning_rate: float = setting(1e-4, "The learning rate of generator and critic (Adam).", minimum=0)
    beta1: float = setting(0.5, "Adam's first decay rate for generator and critic.", minimum=0, maximum=0.999)


@dataclass(frozen=True)
class Attribute:
    """The classifier on the code, which the encoder learns to fool (paper, Section 4)."""

    weight: float = setting(
        1.0,
        "Lambda 2, the weight of the classifier's term in the encoder's loss; 0: no classifier.",
        minimum=0,
    )
    layers: tuple[int, ...] = setting((128, 128), "The hidden sizes of the classifier.")
    learning_rate: float = setting(1e-4, "The learning rate of the classifier (Adam).", minimum=0)


@dataclass(frozen=True)
class Cycle:
    """Cycle consistency: rewrite, encode the rewrite, and reconstruct the original with its own decoder."""

    weight: float = setting(0.0, "The weight of the cycle's reconstruction loss; 0: no cycle.", minimum=0)
    start: float = setting(0.3, "The share of training before the cycle starts.", minimum=0, maximum=1)
    extra_tokens: int = setting(
        4, "The maximum number of tokens by which a rewrite in training is longer than its source.", minimum=0
    )
    delete: float = setting(
        0.0,
        "The probability of deleting a style-bearing token from a source before rewriting it in training, so "
        "that it cannot be copied.",
        minimum=0,
        maximum=1,
    )
    teach: float = setting(
        0.0,
        "The weight of the loss on accepted rewrites of damaged sources, generated from the whole source.",
        minimum=0,
    )
    style: float = setting(
        0.0,
        "The weight of the style scorer's loss on rewrites, with a straight-through gradient to the decoders.",
        minimum=0,
    )


@dataclass(frozen=True)
class Editing:
    """Rewriting by span edits (task = "editing")."""

    denoising: float = setting(
        0.4,
        "The share of steps that repair damaged sentences instead of learning from parallel examples; without "
        "examples, all steps do.",
        minimum=0,
        maximum=1,
    )
    style_damage: float = setting(
        0.6,
        "The probability that damage replaces one to three words by words of another class, starting at an "
        "entirely style-bearing word.",
        minimum=0,
        maximum=1,
    )
    plain_damage: float = setting(0.06, "The same probability for any other word.", minimum=0, maximum=1)
    unchanged: float = setting(
        0.1,
        "The share of the examples' rewrites that are also shown as sentences to keep unchanged, because they "
        "have the target class.",
        minimum=0,
        maximum=1,
    )
    held_out: float = setting(0.01, "The share of the examples for validation.", minimum=0, maximum=0.5)
    encoder_rate: float = setting(
        1.0, "The encoder's learning rate relative to training.learning_rate.", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class Quality:
    """The quality estimator of a model that edits: it predicts whether a reader accepts a rewrite."""

    layers: int = setting(
        0,
        "The number of layers of the estimator above the encoder's frozen layers; 0: no estimator.",
        minimum=0,
        maximum=12,
    )
    share: float = setting(
        0.25,
        "The share of steps that train the estimator instead of encoder and decoders; 1: only the estimator.",
        minimum=0,
        maximum=1,
    )
    ratings_weight: float = setting(
        2.0, "The weight of a reader's rating relative to a parallel example or its degraded copy.", minimum=0
    )


@dataclass(frozen=True)
class Labels:
    """Labels of a classification and their weight beside all sentences (semi-supervision).

    Three systems of the paper differ in two other keys alone: supervised (``training.reconstruction = 0``,
    ``adversary.weight = 0``), with an autoencoder (``adversary.weight = 0``), and adversarially regularized.
    """

    sentence_pairs: bool = setting(
        False, "Whether an example is a pair of sentences, such as a premise and a hypothesis."
    )
    share: float = setting(
        1.0,
        "The share of the training labels to use; all sentences are used.",
        minimum=0,
        maximum=1,
    )
    number: int = setting(0, "The number of labels to use, instead of labels.share; 0: use the share.", minimum=0)
    batch_size: int = setting(64, "The number of labelled examples per step.", minimum=1)
    weight: float = setting(1.0, "The weight of the label loss in the encoder's loss.", minimum=0)
    dropout: float = setting(0.0, "The dropout on the code that the classifier reads.", minimum=0, maximum=0.95)


@dataclass(frozen=True)
class Training:
    """The training loop."""

    sentences: int = setting(
        5_000_000, "The total number of training sentences (or images) over all epochs and classes.", minimum=1
    )
    batch_size: int = setting(64, "The number of sentences (or images) per class and step.", minimum=1)
    tokens_at_once: int = setting(
        16_384,
        "The maximum number of tokens, including padding, per forward pass; a larger batch is processed in parts whose "
        "gradients are summed, which needs less memory.",
        minimum=1,
    )
    schedule: Literal["alternating", "joint"] = setting(
        "alternating",
        "The order of updates. alternating: one update per network and batch (the paper's algorithms); joint: "
        "one encoding and one update per batch for all networks.",
    )
    optimizer: Literal["sgd", "adam"] = setting("sgd", "The optimizer of encoder and decoders.")
    learning_rate: float = setting(1.0, "The learning rate of encoder and decoders.", minimum=0)
    warmup: float = setting(0.0, "The share of training with a rising learning rate (warm-up).", minimum=0, maximum=1)
    decay: Literal["none", "linear"] = setting("none", "The decay of the learning rate of encoder and decoders.")
    gradient_clip: float = setting(1.0, "The maximum gradient norm of encoder and decoders.", minimum=1e-6)
    reconstruction: float = setting(
        1.0,
        "The weight of the reconstruction loss in the joint schedule; less of it makes fewer copies if "
        "parallel examples or a cycle train the decoders as well.",
        minimum=0,
    )
    label_smoothing: float = setting(0.0, "The label smoothing of reconstruction.", minimum=0, maximum=0.9)
    sampled_softmax: int = setting(
        0,
        "The number of tokens in a step's sampled softmax: its targets, frequent tokens, and random tokens "
        "that represent the rest; 0: the whole vocabulary.",
        minimum=0,
    )
    scorer_every: int = setting(
        1,
        "The interval, in batches, of updates of the style scorer, which scores rewrites in validation and "
        "export; the paper's losses do not depend on it.",
        minimum=1,
    )
    averaging: float = setting(
        0.0,
        "The decay of the exponential moving average of weights, used for validation and export; 0: none.",
        minimum=0,
        maximum=0.99999,
    )
    initialization: Literal["uniform", "scaled", "open"] = setting(
        "uniform",
        "The initialization of weights. uniform: Uniform(-0.1, 0.1), as in the reference code; scaled: "
        "PyTorch's default, scaled per layer; open: scaled, with embeddings of unit variance and open forget "
        "gates, so that codes of different sentences differ from the start.",
    )
    precision: Literal["auto", "fast", "fp32", "bf16"] = setting(
        "auto",
        "The precision of encoder and decoders. auto: bf16 on GPUs of capability 8.0 and later; fast: also on "
        "CPUs with bf16 instructions.",
    )
    seed: int = setting(1111, "The random seed.", minimum=0, maximum=2**31 - 1)


@dataclass(frozen=True)
class Validation:
    """Validation during training."""

    every: int = setting(200_000, "The number of training sentences between validations.", minimum=1)
    sentences: int = setting(500, "The number of held-out sentences (or images) per class to score.", minimum=1)
    probes: int = setting(3, "The number of fixed held-out sentences per class to show.", minimum=0, maximum=100)
    checkpoint_minutes: float = setting(5.0, "Minutes between checkpoints.", minimum=0)
    log_every: int = setting(50, "Steps between lines of metrics.", minimum=1)
