"""The sections of a recipe, one dataclass each; every key is documented here and nowhere else."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Value = TypeVar("Value")


def setting(default: Value, help: str, *, minimum: float = -math.inf, maximum: float = math.inf) -> Value:
    """Declare a recipe field with its one documentation and the range that makes sense."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum}
    if isinstance(default, tuple | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Data:
    """What is read."""

    kind: Literal["text", "image"] = setting(
        "text", "What the model is of: sentences, or images (IDX files; their keys are in [image])."
    )
    builtin: Literal["", "quickstart"] = setting(
        "", "The corpus that the project makes itself, used when no --data is given; empty: none."
    )
    classes: tuple[str, ...] = setting((), "The classes in order; empty: every class found, sorted by name.")
    text_column: str = setting(
        "text", "The column of the text in a table: its name, its number from 1, or a path such as review.body."
    )
    label_column: str = setting("label", "The column of the class in a table, named as the text's.")
    labels: Mapping[str, str] = setting(
        {},
        'The class of each label of a table, such as {"1": "negative", "5": "positive"}; rows with other labels are '
        "left out, counted. Empty: each label is a class.",
    )
    encoding: str = setting("utf-8", "How the characters of text files are encoded, such as latin-1.")
    keep_near_duplicates: bool = setting(
        False,
        "Whether training lines stay that stand in a held-out part but for case, punctuation and numbers; scores are "
        "flattery then.",
    )
    maximum_characters: int = setting(
        2000, "Longer lines are left out when the data is read, counted.", minimum=1, maximum=10_000_000
    )
    writing: Literal["corpus", "ordinary", "auto"] = setting(
        "corpus",
        "How the data is written: in the form that [form] describes, or as people write, and then brought to that form "
        "when it is read; auto: whichever fits.",
    )
    adapt: bool = setting(
        False,
        "Whether the model is named after its run, and vocabulary, maximum_tokens, parallel examples, length of "
        "training and validation are sized by the corpus, at most as the recipe says.",
    )
    maximum_tokens: int = setting(
        40,
        "Sentences of more tokens are left out of training, counted; a longer input is cut there.",
        minimum=2,
        maximum=1000,
    )


@dataclass(frozen=True)
class Image:
    """Images, their encoder and their decoder; used where data.kind is "image" (the paper's binarised MNIST model)."""

    height: int = setting(28, "The height of images in pixels.", minimum=1, maximum=1024)
    width: int = setting(28, "The width of images in pixels.", minimum=1, maximum=1024)
    levels: int = setting(
        2, "The levels of brightness that pixels are rounded to; 2: black and white.", minimum=2, maximum=256
    )
    held_out: float = setting(
        0.1,
        "The share of the training images, the last ones, that is kept for validation where there is no file for it.",
        minimum=0,
        maximum=0.9,
    )
    encoder_layers: tuple[int, ...] = setting((800, 400), "The hidden sizes of the encoder of images.")
    decoder_layers: tuple[int, ...] = setting((400, 800, 1000), "The hidden sizes of each decoder of images.")


@dataclass(frozen=True)
class Tokenization:
    """How lines become ids."""

    vocabulary_size: int = setting(
        8000, "The number of pieces, 260 special and byte pieces included.", minimum=261, maximum=200_000
    )
    model: str = setting("", "A SentencePiece model file to use; empty: one is trained on the corpus.")


@dataclass(frozen=True)
class InputNoise:
    """How the input of the encoder is damaged in training; the target stays whole (denoising autoencoder)."""

    drop: float = setting(0.0, "The probability that a token is dropped from the input.", minimum=0, maximum=1)
    shuffle: float = setting(
        0.0, "Tokens move by up to about this many places in the input; 0 keeps the order.", minimum=0
    )
    style_share: float = setting(
        0.0, "The share of sentences whose style-bearing tokens are damaged too.", minimum=0, maximum=1
    )
    style_drop: float = setting(
        0.0, "The probability that a fully style-bearing token is dropped.", minimum=0, maximum=1
    )
    style_replace: float = setting(
        0.0,
        "The probability that a fully style-bearing token is replaced by one of another class.",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Model:
    """The encoder, the decoders and the code between them."""

    code: Literal["single", "superposed", "sequence"] = setting(
        "single",
        "The code of a sentence: one vector, the encoder's last state (the paper); one vector in which those of all "
        "tokens lie over each other, each turned by its place, so that decoders can attend to places; or one a token.",
    )
    code_size: int = setting(128, "The dimensions of a code vector.", minimum=2)
    code_noise: float = setting(
        0.1, "The standard deviation of the Gaussian noise added to each code dimension.", minimum=0
    )
    code_noise_decay: float = setting(0.9995, "The factor on the code noise every 100 steps.", minimum=0, maximum=1)
    embedding_size: int = setting(128, "The dimensions of token embeddings.", minimum=2)
    hidden_size: int = setting(128, "The dimensions of the LSTM states, each direction.", minimum=2)
    encoder: Literal["lstm", "transformer"] = setting(
        "lstm", "The encoder: an LSTM, or a Transformer in the layout of BERT, which the task editing reads with."
    )
    encoder_layers: int = setting(1, "The layers of the encoder.", minimum=1, maximum=24)
    attention_heads: int = setting(12, "The attention heads of a Transformer's layers.", minimum=1, maximum=64)
    inner_size: int = setting(1536, "The dimensions of the feed-forward layers of a Transformer.", minimum=1)
    frozen_layers: int = setting(
        0,
        "How many layers of a Transformer do not learn, from the first on; with the first of them goes the embedding.",
        minimum=0,
        maximum=24,
    )
    pretrained: str = setting(
        "",
        "A folder with the model.safetensors and vocab.txt of a BERT of this size, whose embedding and first layers a "
        "Transformer starts from; empty: it starts at random.",
    )
    bidirectional: bool = setting(False, "Whether the encoder reads in both directions.")
    decoder_layers: int = setting(1, "The LSTM layers of each decoder.", minimum=1, maximum=8)
    shared_embeddings: bool = setting(False, "Whether encoder, decoders and output layer share one embedding table.")
    residual: bool = setting(
        False,
        "Whether each code vector starts from its token's embedding and the output layer from the vector attended to, "
        "so that a kept word passes from the start of training on; needs shared_embeddings and a code that decoders "
        'attend to: "superposed", or "sequence" with code_size = embedding_size.',
    )
    dropout: float = setting(0.0, "The drop-out on embeddings and between layers.", minimum=0, maximum=0.95)
    word_dropout: float = setting(
        0.0, "The probability that a decoder does not see the preceding token.", minimum=0, maximum=1
    )

    @property
    def one_vector(self) -> bool:
        """Whether the code of a sentence is one vector, however it is made."""
        return self.code != "sequence"

    @property
    def attended_size(self) -> int:
        """The dimensions of what decoders read of a code: of a vector of it, or of those laid over each other in it."""
        return self.embedding_size if self.code == "superposed" else self.code_size


@dataclass(frozen=True)
class Adversary:
    """Generator and Wasserstein critic, which shape the code space (paper, Section 3)."""

    weight: float = setting(
        1.0,
        "Lambda 1, the weight of the critic's term in the encoder's loss; "
        "0: no generator, no critic, a plain autoencoder.",
        minimum=0,
    )
    noise_size: int = setting(32, "The dimensions of the generator's input z.", minimum=1)
    generator_layers: tuple[int, ...] = setting((128, 128), "The hidden sizes of the generator.")
    critic_layers: tuple[int, ...] = setting((128, 128), "The hidden sizes of the critic.")
    constraint: Literal["clip", "gradient-penalty"] = setting(
        "gradient-penalty",
        "How the critic is kept Lipschitz: weight clipping (the paper) "
        "or a gradient penalty (the authors' later choice).",
    )
    clip: float = setting(0.01, "The bound of the critic's weights when clipping.", minimum=1e-6)
    penalty: float = setting(10.0, "The weight of the gradient penalty, per-sample norm towards 1.", minimum=0)
    critic_updates: int = setting(5, "The critic's updates per step.", minimum=1, maximum=100)
    batch_size: int = setting(
        0,
        "The sentences of each class in an update of critic and generator in the alternating schedule; "
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
        "Lambda 2, the weight of the fooled classifier in the encoder's loss; 0: no classifier.",
        minimum=0,
    )
    layers: tuple[int, ...] = setting((128, 128), "The hidden sizes of the classifier.")
    learning_rate: float = setting(1e-4, "The learning rate of the classifier (Adam).", minimum=0)


@dataclass(frozen=True)
class Cycle:
    """Rewrite, encode the rewrite, reconstruct the original with its own decoder."""

    weight: float = setting(
        0.0, "The weight of the cycle's reconstruction; 0: no cycle, no rewrites in training.", minimum=0
    )
    start: float = setting(0.3, "The share of the training after which the cycle begins.", minimum=0, maximum=1)
    extra_tokens: int = setting(4, "A rewrite in training may be this many tokens longer than its source.", minimum=0)
    delete: float = setting(
        0.0,
        "The probability that a style-bearing token is deleted from a source before it is rewritten in training; "
        "what is missing cannot be copied.",
        minimum=0,
        maximum=1,
    )
    teach: float = setting(
        0.0,
        "The weight of learning to produce accepted rewrites (of damaged sources) from the whole source.",
        minimum=0,
    )
    style: float = setting(
        0.0,
        "The weight of the style scorer's verdict on rewrites, whose gradient reaches the decoders straight through.",
        minimum=0,
    )


@dataclass(frozen=True)
class Editing:
    """Rewriting by span edits (task = "editing"): what a step learns from."""

    denoising: float = setting(
        0.4,
        "The share of steps that repair damaged sentences instead of learning from parallel examples; without examples "
        "all do.",
        minimum=0,
        maximum=1,
    )
    style_damage: float = setting(
        0.6,
        "The probability that one to three words are replaced by words of another class, from a word on that bears the "
        "style of its class fully.",
        minimum=0,
        maximum=1,
    )
    plain_damage: float = setting(0.06, "The same from any other word on.", minimum=0, maximum=1)
    unchanged: float = setting(
        0.1,
        "The share of the examples' rewrites that are also shown as sentences to leave as they are: they have the "
        "target class already.",
        minimum=0,
        maximum=1,
    )
    held_out: float = setting(0.01, "The share of the examples that is kept for validation.", minimum=0, maximum=0.5)
    encoder_rate: float = setting(
        1.0, "The encoder's learning rate as a share of training.learning_rate.", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class Quality:
    """The quality estimator of a model that edits: it says how likely a reader accepts a rewrite."""

    layers: int = setting(
        0, "The layers of the estimator above the frozen ones of the encoder; 0: there is none.", minimum=0, maximum=12
    )
    share: float = setting(
        0.25,
        "The share of steps in which the estimator learns instead of encoder and decoders; 1: it alone learns.",
        minimum=0,
        maximum=1,
    )
    ratings_weight: float = setting(
        2.0, "How much a reader's rating counts beside an example rewrite, or one made worse.", minimum=0
    )


@dataclass(frozen=True)
class Labels:
    """Classification: which labels are learned from, and how much they count beside all sentences (semi-supervision).

    Three systems of the paper differ in two other keys alone: supervised (``training.reconstruction = 0``,
    ``adversary.weight = 0``), with an autoencoder (``adversary.weight = 0``), and adversarially regularized.
    """

    sentence_pairs: bool = setting(
        False, "Whether an example is a pair of sentences, such as a premise and a hypothesis."
    )
    share: float = setting(
        1.0,
        "The share of the labelled training examples whose labels are used; the sentences of all are read.",
        minimum=0,
        maximum=1,
    )
    number: int = setting(0, "The number of labels used, in the place of labels.share; 0: the share.", minimum=0)
    batch_size: int = setting(64, "The labelled examples of a step.", minimum=1)
    weight: float = setting(1.0, "The weight of the labels in the encoder's loss.", minimum=0)
    dropout: float = setting(0.0, "The drop-out on the code that the classifier reads.", minimum=0, maximum=0.95)


@dataclass(frozen=True)
class Training:
    """The loop."""

    sentences: int = setting(
        5_000_000, "The number of training sentences (or images) seen in all, classes together.", minimum=1
    )
    batch_size: int = setting(64, "The sentences (or images) of each class in a step.", minimum=1)
    tokens_at_once: int = setting(
        16_384,
        "The most tokens, padding included, that encoder and decoders take at once; of a longer batch the gradients of "
        "several parts are added up, which needs less memory.",
        minimum=1,
    )
    schedule: Literal["alternating", "joint"] = setting(
        "alternating",
        "One update per network and batch, as the paper's algorithms state it, "
        "or one shared encoding and one joint update.",
    )
    optimizer: Literal["sgd", "adam"] = setting("sgd", "The optimizer of encoder and decoders.")
    learning_rate: float = setting(1.0, "The learning rate of encoder and decoders.", minimum=0)
    warmup: float = setting(
        0.0, "The share of the training in which the learning rate rises from zero.", minimum=0, maximum=1
    )
    decay: Literal["none", "linear"] = setting(
        "none", "How the learning rate of encoder and decoders falls to its end."
    )
    gradient_clip: float = setting(1.0, "The greatest gradient norm of encoder and decoders.", minimum=1e-6)
    reconstruction: float = setting(
        1.0,
        "The weight of reconstructing a sentence from its damaged self in the joint schedule; where pairs or a cycle "
        "teach the decoders too, less of it makes fewer copies.",
        minimum=0,
    )
    label_smoothing: float = setting(0.0, "The label smoothing of reconstruction.", minimum=0, maximum=0.9)
    sampled_softmax: int = setting(
        0,
        "The tokens over which a step's softmax runs: its targets, frequent ones, and random ones that stand for the "
        "rest; 0: the whole vocabulary.",
        minimum=0,
    )
    scorer_every: int = setting(
        1,
        "The style scorer, by which validation and export judge rewrites, learns from every n-th batch of training; "
        "nothing that the paper's schedule trains depends on it.",
        minimum=1,
    )
    averaging: float = setting(
        0.0,
        "The decay of the exponential moving average of weights used to validate and export; 0: none.",
        minimum=0,
        maximum=0.99999,
    )
    initialization: Literal["uniform", "scaled", "open"] = setting(
        "uniform",
        "Uniform(-0.1, 0.1) as in the reference code; PyTorch's own scaled to each layer; or that with embeddings of "
        "unit variance and open forget gates, with which the codes of different sentences differ from the start.",
    )
    precision: Literal["auto", "fast", "fp32", "bf16"] = setting(
        "auto",
        "The precision of encoder and decoders; auto: bf16 on GPUs of capability 8.0 and later; fast: on CPUs with "
        "instructions for it, too.",
    )
    seed: int = setting(1111, "The seed of everything random.", minimum=0, maximum=2**31 - 1)


@dataclass(frozen=True)
class Validation:
    """What is looked at while training."""

    every: int = setting(200_000, "Training sentences between validations.", minimum=1)
    sentences: int = setting(500, "Held-out sentences (or images) per class used for scores.", minimum=1)
    probes: int = setting(3, "Fixed held-out sentences per class that are shown.", minimum=0, maximum=100)
    checkpoint_minutes: float = setting(5.0, "Minutes between checkpoints.", minimum=0)
    log_every: int = setting(50, "Steps between lines of metrics.", minimum=1)
