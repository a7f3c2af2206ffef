"""Recipes: everything that decides a training run, as frozen dataclasses that read and write TOML.

Precedence: the defaults below < the recipe file < ``--set section.key=value``. The resolved recipe is written into the
run and travels into the export. Each field is documented once, here; help texts, written files and error messages all
take that text.
"""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from arae_transfer.errors import AraeError
from arae_transfer.form import Form

Value = TypeVar("Value")


def _setting(default: Value, help: str, *, minimum: float = -math.inf, maximum: float = math.inf) -> Value:
    """Declare a recipe field with its one documentation and the range that makes sense."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum}
    if isinstance(default, tuple | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Data:
    """What is read."""

    kind: Literal["text", "image"] = _setting(
        "text", "What the model is of: sentences, or images (IDX files; their keys are in [image])."
    )
    builtin: Literal["", "quickstart"] = _setting(
        "", "The corpus that the project makes itself, used when no --data is given; empty: none."
    )
    classes: tuple[str, ...] = _setting((), "The classes in order; empty: every class found, sorted by name.")
    text_column: str = _setting(
        "text", "The column of the text in a table: its name, its number from 1, or a path such as review.body."
    )
    label_column: str = _setting("label", "The column of the class in a table, named as the text's.")
    labels: typing.Mapping[str, str] = _setting(
        {},
        'The class of each label of a table, such as {"1": "negative", "5": "positive"}; rows with other labels are '
        "left out, counted. Empty: each label is a class.",
    )
    encoding: str = _setting("utf-8", "How the characters of text files are encoded, such as latin-1.")
    keep_near_duplicates: bool = _setting(
        False,
        "Whether training lines stay that stand in a held-out part but for case, punctuation and numbers; scores are "
        "flattery then.",
    )
    maximum_characters: int = _setting(
        2000, "Longer lines are left out when the data is read, counted.", minimum=1, maximum=10_000_000
    )
    writing: Literal["corpus", "ordinary", "auto"] = _setting(
        "corpus",
        "How the data is written: in the form that [form] describes, or as people write, and then brought to that form "
        "when it is read; auto: whichever fits.",
    )
    adapt: bool = _setting(
        False,
        "Whether the model is named after its run, and vocabulary, maximum_tokens, pairs, length of training and "
        "validation are sized by the corpus, at most as the recipe says.",
    )
    maximum_tokens: int = _setting(
        40,
        "Sentences of more tokens are left out of training, counted; a longer input is cut there.",
        minimum=2,
        maximum=1000,
    )


@dataclass(frozen=True)
class Image:
    """Images, their encoder and their decoder; used where data.kind is "image" (the paper's binarised MNIST model)."""

    height: int = _setting(28, "The height of images in pixels.", minimum=1, maximum=1024)
    width: int = _setting(28, "The width of images in pixels.", minimum=1, maximum=1024)
    levels: int = _setting(
        2, "The levels of brightness that pixels are rounded to; 2: black and white.", minimum=2, maximum=256
    )
    held_out: float = _setting(
        0.1,
        "The share of the training images, the last ones, that is kept for validation where there is no file for it.",
        minimum=0,
        maximum=0.9,
    )
    encoder_layers: tuple[int, ...] = _setting((800, 400), "The hidden sizes of the encoder of images.")
    decoder_layers: tuple[int, ...] = _setting((400, 800, 1000), "The hidden sizes of each decoder of images.")


@dataclass(frozen=True)
class Tokenization:
    """How lines become ids."""

    vocabulary_size: int = _setting(
        8000, "The number of pieces, 260 special and byte pieces included.", minimum=261, maximum=200_000
    )
    model: str = _setting("", "A SentencePiece model file to use; empty: one is trained on the corpus.")


@dataclass(frozen=True)
class InputNoise:
    """How the input of the encoder is damaged in training; the target stays whole (denoising autoencoder)."""

    drop: float = _setting(0.0, "The probability that a token is dropped from the input.", minimum=0, maximum=1)
    shuffle: float = _setting(
        0.0, "Tokens move by up to about this many places in the input; 0 keeps the order.", minimum=0
    )
    style_share: float = _setting(
        0.0, "The share of sentences whose style-bearing tokens are damaged too.", minimum=0, maximum=1
    )
    style_drop: float = _setting(
        0.0, "The probability that a fully style-bearing token is dropped.", minimum=0, maximum=1
    )
    style_replace: float = _setting(
        0.0,
        "The probability that a fully style-bearing token is replaced by one of another class.",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Model:
    """The encoder, the decoders and the code between them."""

    code: Literal["single", "superposed", "sequence"] = _setting(
        "single",
        "The code of a sentence: one vector, the encoder's last state (the paper); one vector in which those of all "
        "tokens lie over each other, each turned by its place, so that decoders can attend to places; or one a token.",
    )
    code_size: int = _setting(128, "The dimensions of a code vector.", minimum=2)
    code_noise: float = _setting(
        0.1, "The standard deviation of the Gaussian noise added to each code dimension.", minimum=0
    )
    code_noise_decay: float = _setting(0.9995, "The factor on the code noise every 100 steps.", minimum=0, maximum=1)
    embedding_size: int = _setting(128, "The dimensions of token embeddings.", minimum=2)
    hidden_size: int = _setting(128, "The dimensions of the LSTM states, each direction.", minimum=2)
    encoder_layers: int = _setting(1, "The layers of the encoder's LSTM.", minimum=1, maximum=8)
    bidirectional: bool = _setting(False, "Whether the encoder reads in both directions.")
    decoder_layers: int = _setting(1, "The LSTM layers of each decoder.", minimum=1, maximum=8)
    shared_embeddings: bool = _setting(False, "Whether encoder, decoders and output layer share one embedding table.")
    shared_decoder_layers: int = _setting(
        0,
        "How many LSTM layers of the decoders, from the first on, are one for all classes; with the first of them goes "
        "the attention to the code.",
        minimum=0,
        maximum=8,
    )
    residual: bool = _setting(
        False,
        "Whether each code vector starts from its token's embedding and the output layer from the vector attended to, "
        "so that a kept word passes from the start of training on; needs shared_embeddings and a code that decoders "
        'attend to: "superposed", or "sequence" with code_size = embedding_size.',
    )
    dropout: float = _setting(0.0, "The drop-out on embeddings and between layers.", minimum=0, maximum=0.95)
    word_dropout: float = _setting(
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

    weight: float = _setting(
        1.0,
        "Lambda 1, the weight of the critic's term in the encoder's loss; "
        "0: no generator, no critic, a plain autoencoder.",
        minimum=0,
    )
    noise_size: int = _setting(32, "The dimensions of the generator's input z.", minimum=1)
    generator_layers: tuple[int, ...] = _setting((128, 128), "The hidden sizes of the generator.")
    critic_layers: tuple[int, ...] = _setting((128, 128), "The hidden sizes of the critic.")
    constraint: Literal["clip", "gradient-penalty"] = _setting(
        "gradient-penalty",
        "How the critic is kept Lipschitz: weight clipping (the paper) "
        "or a gradient penalty (the authors' later choice).",
    )
    clip: float = _setting(0.01, "The bound of the critic's weights when clipping.", minimum=1e-6)
    penalty: float = _setting(10.0, "The weight of the gradient penalty, per-sample norm towards 1.", minimum=0)
    critic_updates: int = _setting(5, "The critic's updates per step.", minimum=1, maximum=100)
    batch_size: int = _setting(
        0,
        "The sentences of each class in an update of critic and generator in the alternating schedule; "
        "0: training.batch_size.",
        minimum=0,
    )
    learning_rate: float = _setting(1e-4, "The learning rate of generator and critic (Adam).", minimum=0)
    beta1: float = _setting(0.5, "Adam's first decay rate for generator and critic.", minimum=0, maximum=0.999)


@dataclass(frozen=True)
class Attribute:
    """The classifier on the code, which the encoder learns to fool (paper, Section 4)."""

    weight: float = _setting(
        1.0,
        "Lambda 2, the weight of the fooled classifier in the encoder's loss; 0: no classifier.",
        minimum=0,
    )
    layers: tuple[int, ...] = _setting((128, 128), "The hidden sizes of the classifier.")
    learning_rate: float = _setting(1e-4, "The learning rate of the classifier (Adam).", minimum=0)


@dataclass(frozen=True)
class Cycle:
    """Rewrite, encode the rewrite, reconstruct the original with its own decoder."""

    weight: float = _setting(
        0.0, "The weight of the cycle's reconstruction; 0: no cycle, no rewrites in training.", minimum=0
    )
    start: float = _setting(0.3, "The share of the training after which the cycle begins.", minimum=0, maximum=1)
    extra_tokens: int = _setting(4, "A rewrite in training may be this many tokens longer than its source.", minimum=0)
    delete: float = _setting(
        0.0,
        "The probability that a style-bearing token is deleted from a source before it is rewritten in training; "
        "what is missing cannot be copied.",
        minimum=0,
        maximum=1,
    )
    teach: float = _setting(
        0.0,
        "The weight of learning to produce accepted rewrites (of damaged sources) from the whole source.",
        minimum=0,
    )
    style: float = _setting(
        0.0,
        "The weight of the style scorer's verdict on rewrites, whose gradient reaches the decoders straight through.",
        minimum=0,
    )
    doubt: float = _setting(
        0.0,
        "The least weight of a pair whose rewrite the style scorer rejects (a pair weighs what the scorer believes).",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Pairs:
    """Rewrites of training sentences, searched before training by exchanging phrases, as a first parallel corpus."""

    sentences: int = _setting(
        0, "The number of training sentences, classes together, for which a rewrite is searched; 0: none.", minimum=0
    )
    propose: int = _setting(
        0,
        "The number of rewrites that the model of a run proposes for each sentence, beside those searched, when "
        "training starts --from that run (self-training); 0: the run's own pairs are taken over.",
        minimum=0,
        maximum=100,
    )
    naturalness: float = _setting(
        0.0,
        "How much it counts in the choice of a rewrite, in nats a nat, that a discriminator takes it for a sentence "
        "that somebody wrote; it is trained for this on sentences and rewrites. 0: it is not asked.",
        minimum=0,
    )
    back: float = _setting(1.0, "The weight of reconstructing a sentence from its rewrite.", minimum=0)
    forward: float = _setting(0.5, "The weight of producing the rewrite from its sentence.", minimum=0)


@dataclass(frozen=True)
class Labels:
    """Classification: which labels are learned from, and how much they count beside all sentences (semi-supervision).

    Three systems of the paper differ in two other keys alone: supervised (``training.reconstruction = 0``,
    ``adversary.weight = 0``), with an autoencoder (``adversary.weight = 0``), and adversarially regularized.
    """

    pairs: bool = _setting(False, "Whether an example is a pair of sentences, such as a premise and a hypothesis.")
    share: float = _setting(
        1.0,
        "The share of the labelled training examples whose labels are used; the sentences of all are read.",
        minimum=0,
        maximum=1,
    )
    number: int = _setting(0, "The number of labels used, in the place of labels.share; 0: the share.", minimum=0)
    batch_size: int = _setting(64, "The labelled examples of a step.", minimum=1)
    weight: float = _setting(1.0, "The weight of the labels in the encoder's loss.", minimum=0)
    dropout: float = _setting(0.0, "The drop-out on the code that the classifier reads.", minimum=0, maximum=0.95)


@dataclass(frozen=True)
class Training:
    """The loop."""

    sentences: int = _setting(
        5_000_000, "The number of training sentences (or images) seen in all, classes together.", minimum=1
    )
    batch_size: int = _setting(64, "The sentences (or images) of each class in a step.", minimum=1)
    schedule: Literal["alternating", "joint"] = _setting(
        "alternating",
        "One update per player and batch, as the paper's algorithms state it, "
        "or one shared encoding and one joint update.",
    )
    optimizer: Literal["sgd", "adam"] = _setting("sgd", "The optimizer of encoder and decoders.")
    learning_rate: float = _setting(1.0, "The learning rate of encoder and decoders.", minimum=0)
    warmup: float = _setting(
        0.0, "The share of the training in which the learning rate rises from zero.", minimum=0, maximum=1
    )
    decay: Literal["none", "linear"] = _setting(
        "none", "How the learning rate of encoder and decoders falls to its end."
    )
    gradient_clip: float = _setting(1.0, "The greatest gradient norm of encoder and decoders.", minimum=1e-6)
    reconstruction: float = _setting(
        1.0,
        "The weight of reconstructing a sentence from its damaged self in the joint schedule; where pairs or a cycle "
        "teach the decoders too, less of it makes fewer copies.",
        minimum=0,
    )
    label_smoothing: float = _setting(0.0, "The label smoothing of reconstruction.", minimum=0, maximum=0.9)
    candidates: int = _setting(
        0,
        "The tokens over which a step's softmax runs: its targets, frequent ones, and random ones that stand for the "
        "rest; 0: the whole vocabulary.",
        minimum=0,
    )
    scorer_every: int = _setting(
        1,
        "The style scorer, by which validation and export judge rewrites, learns from every n-th batch of training; "
        "nothing that the paper's schedule trains depends on it.",
        minimum=1,
    )
    averaging: float = _setting(
        0.0,
        "The decay of the exponential moving average of weights used to validate and export; 0: none.",
        minimum=0,
        maximum=0.99999,
    )
    initialization: Literal["uniform", "scaled", "open"] = _setting(
        "uniform",
        "Uniform(-0.1, 0.1) as in the reference code; PyTorch's own scaled to each layer; or that with embeddings of "
        "unit variance and open forget gates, with which the codes of different sentences differ from the start.",
    )
    precision: Literal["auto", "fast", "fp32", "bf16"] = _setting(
        "auto",
        "The precision of encoder and decoders; auto: bf16 on GPUs of capability 8.0 and later; fast: on CPUs with "
        "instructions for it, too.",
    )
    seed: int = _setting(1111, "The seed of everything random.", minimum=0, maximum=2**31 - 1)


@dataclass(frozen=True)
class Validation:
    """What is looked at while training."""

    every: int = _setting(200_000, "Training sentences between validations.", minimum=1)
    sentences: int = _setting(500, "Held-out sentences (or images) per class used for scores.", minimum=1)
    probes: int = _setting(3, "Fixed held-out sentences per class that are shown.", minimum=0, maximum=100)
    checkpoint_minutes: float = _setting(5.0, "Minutes between checkpoints.", minimum=0)
    log_every: int = _setting(50, "Steps between lines of metrics.", minimum=1)


@dataclass(frozen=True)
class Recipe:
    """A complete recipe. Each field is a section of the TOML file."""

    name: str = _setting("custom", "The name of the recipe, of its runs and of its export.")
    description: str = _setting("", "What the recipe is for, in a sentence.")
    data_source: str = _setting("", "Where the data come from and under which terms; goes into the model card.")
    task: Literal["rewriting", "classification", "generation"] = _setting(
        "rewriting",
        "What is learned: decoders of every class that rewrite (the paper, Section 4), one classifier of the code "
        "beside one decoder (the paper's semi-supervision), or one kind of text, which the generator writes anew (the "
        "paper's language model).",
    )
    data: Data = field(default_factory=Data)
    image: Image = field(default_factory=Image)
    form: Form = field(default_factory=Form)
    tokenizer: Tokenization = field(default_factory=Tokenization)
    noise: InputNoise = field(default_factory=InputNoise)
    model: Model = field(default_factory=Model)
    adversary: Adversary = field(default_factory=Adversary)
    attribute: Attribute = field(default_factory=Attribute)
    pairs: Pairs = field(default_factory=Pairs)
    cycle: Cycle = field(default_factory=Cycle)
    labels: Labels = field(default_factory=Labels)
    training: Training = field(default_factory=Training)
    validation: Validation = field(default_factory=Validation)


def load_recipe(path: Path, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply ``section.key=value`` overrides.

    Raises:
        AraeError: The file is missing or no TOML, a key does not exist, or a value is impossible; the message names
            the key and the nearest valid one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AraeError(f"cannot read the recipe {path}: {error.strerror or error}") from error
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AraeError(
            f"{path} is not a TOML file: {error}", "give a recipe's name or its .toml; text to learn from is --data's."
        ) from error
    folder = path.absolute().parent.name
    table.setdefault("name", folder if path.stem == "recipe" else "-".join(filter(None, (folder, path.stem))))
    return recipe_from_table(table, overrides, source=str(path))


def recipe_from_table(
    table: dict[str, Any], overrides: typing.Sequence[str] = (), *, source: str = "the recipe"
) -> Recipe:
    """Build a recipe from a nested mapping; see ``load_recipe``."""
    table = {key: dict(value) if isinstance(value, dict) else value for key, value in table.items()}
    for override in overrides:
        _apply_override(table, override)
    recipe = _build(Recipe, table, "", source)
    assert isinstance(recipe, Recipe)
    if not recipe.name or recipe.name in (".", "..") or set(recipe.name) & set("/\\\0"):
        raise AraeError(f"{source}: name = {recipe.name!r} cannot name a folder", "runs and exports are kept under it.")
    model = recipe.model
    if model.residual and not (
        model.code != "single" and model.shared_embeddings and model.attended_size == model.embedding_size
    ):
        raise AraeError(
            f"{source}: model.residual = true adds embeddings to code vectors, which are not alike here",
            'set model.code="sequence", model.shared_embeddings=true and one size for both, or '
            'model.code="superposed", or model.residual=false.',
        )
    if model.shared_decoder_layers > model.decoder_layers:
        raise AraeError(
            f"{source}: model.shared_decoder_layers = {model.shared_decoder_layers}, but each decoder has "
            f"model.decoder_layers = {model.decoder_layers}",
            f"use 0 to {model.decoder_layers}.",
        )
    if recipe.task != "rewriting":
        _check_task(recipe, source)
    if recipe.training.schedule != "joint":
        # Algorithm 2 has no such players; ignoring the keys would train something else than was asked for.
        for key, value in (("pairs.sentences", recipe.pairs.sentences), ("cycle.weight", recipe.cycle.weight)):
            if value:
                raise AraeError(
                    f"{source}: {key} = {value:g} has no place in the schedule {recipe.training.schedule!r}",
                    f"set training.schedule=joint, or {key}=0.",
                )
    if recipe.data.kind == "image":
        _check_image_recipe(recipe, source)
    return recipe


def _check_task(recipe: Recipe, source: str) -> None:
    """Refuse keys that a classification or a generation would ignore.

    Raises:
        AraeError: Naming the key.
    """
    refused = [
        # A classification finds out line by line how its sentences are written.
        ("data.writing", recipe.data.writing != "corpus", "corpus"),
        ("noise.style_share", recipe.noise.style_share, "0"),
        ("pairs.sentences", recipe.pairs.sentences, "0"),
        ("pairs.propose", recipe.pairs.propose, "0"),
        ("pairs.naturalness", recipe.pairs.naturalness, "0"),
        ("cycle.weight", recipe.cycle.weight, "0"),
        ("cycle.delete", recipe.cycle.delete, "0"),
    ]
    if recipe.task == "classification":
        refused += [
            ("training.averaging", recipe.training.averaging, "0"),
            ("training.schedule", recipe.training.schedule != "joint", "joint"),
        ]
    else:
        # One kind of text has no class to hide, and nothing to label.
        refused += [
            # A code of one vector per token would come from noise one vector at a time, its length guessed.
            ("model.code", not recipe.model.one_vector, "single"),
            ("attribute.weight", recipe.attribute.weight, "0"),
            ("labels.pairs", recipe.labels.pairs, "false"),
        ]
    for key, value, remedy in refused:
        if value:
            raise AraeError(f"{source}: {key} has no place in a {recipe.task}", f"set {key}={remedy}.")


# What says nothing of images must be what it would be if images had it: one code vector, nothing dropped or rewritten.
_TEXT_KEYS: dict[str, object] = {
    "data.writing": "corpus",
    "model.code": "single",
    "model.dropout": 0.0,
    "model.word_dropout": 0.0,
    "noise.drop": 0.0,
    "noise.shuffle": 0.0,
    "noise.style_share": 0.0,
    "pairs.sentences": 0,
    "pairs.propose": 0,
    "pairs.naturalness": 0.0,
    "cycle.weight": 0.0,
    "cycle.delete": 0.0,
    "training.candidates": 0,
    "tokenizer.model": "",
    "training.initialization": "scaled",
}


def _check_image_recipe(recipe: Recipe, source: str) -> None:
    """Refuse keys that a model of images would ignore.

    Raises:
        AraeError: Naming the key.
    """
    if recipe.task != "rewriting":
        raise AraeError(
            f"{source}: task = {recipe.task!r} has no place where data.kind is image", "set task=rewriting."
        )
    for key, wanted in _TEXT_KEYS.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        if value != wanted:
            raise AraeError(
                f"{source}: {key} = {value!r} has no place where data.kind is image", f"set {key}={wanted}."
            )


def recipe_to_table(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as nested mappings of TOML and JSON types."""
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return table


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML, every key with its documentation."""
    top: list[str] = []
    sections: list[str] = []
    for item in dataclasses.fields(recipe):
        value = getattr(recipe, item.name)
        if dataclasses.is_dataclass(value):
            sections.append(f"\n[{item.name}]")
            for inner in dataclasses.fields(value):
                sections.append(f"# {inner.metadata.get('help', '')}")
                sections.append(f"{inner.name} = {_toml_value(getattr(value, inner.name))}")
        else:
            top.append(f"# {item.metadata.get('help', '')}")
            top.append(f"{item.name} = {_toml_value(value)}")
    return "\n".join(top + sections) + "\n"


def recipe_keys() -> dict[str, tuple[str, Any]]:
    """Return every ``section.key`` with its documentation and its default."""
    keys: dict[str, tuple[str, Any]] = {}
    default = Recipe()
    for item in dataclasses.fields(default):
        value = getattr(default, item.name)
        if dataclasses.is_dataclass(value):
            for inner in dataclasses.fields(value):
                keys[f"{item.name}.{inner.name}"] = (
                    inner.metadata.get("help", ""),
                    getattr(value, inner.name),
                )
        else:
            keys[item.name] = (item.metadata.get("help", ""), value)
    return keys


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, except that TOML forbids a raw DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_value(key)} = {_toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return repr(value)


def _apply_override(table: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise AraeError(f"--set {override!r} is not of the form section.key=value")
    if key not in recipe_keys():
        raise _unknown_key(key, list(recipe_keys()), "--set")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string: --set training.optimizer=adam
    section, dot, name = key.partition(".")
    if dot:
        table.setdefault(section, {})
        if not isinstance(table[section], dict):
            raise AraeError(f"{section} must be a section")
        table[section][name] = value
    else:
        table[key] = value


def _unknown_key(key: str, known: list[str], source: str) -> AraeError:
    name = key.rpartition(".")[2]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    same_name = [candidate for candidate in known if candidate.rpartition(".")[2] == name]
    if key == name and len(same_name) > 1:
        return AraeError(f"{source}: there is no key {key}", f"there are {' and '.join(same_name)}.")
    near = difflib.get_close_matches(key, same_name, n=1, cutoff=0.0) or close
    hint = f"the nearest key is {near[0]}." if near else f"the keys are {', '.join(known)}."
    return AraeError(f"{source}: there is no key {key}", hint)


def _build(kind: type[Any], table: dict[str, Any], prefix: str, source: str) -> object:
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            known = list(recipe_keys()) if prefix or not isinstance(table[key], dict) else list(fields)
            raise _unknown_key(prefix + key, known, source)
    values: dict[str, Any] = {}
    for name, item in fields.items():
        if name not in table:
            continue
        value, hint, key = table[name], hints[name], prefix + name
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise AraeError(f"{source}: {key} must be a section, not {value!r}", f"write [{key}].")
            values[name] = _build(hint, value, key + ".", source)
        else:
            values[name] = _check(value, hint, key, item, source)
    return kind(**values)


def _check_names(value: object, key: str, documentation: str, source: str) -> dict[str, str]:
    """Return a mapping of names to names, written as a table of TOML or as an object of JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError as error:
            raise AraeError(f"{source}: {key} = {value!r} is no JSON object: {error}", documentation) from error
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise AraeError(f"{source}: {key} = {value!r} must map labels to names of classes", documentation)
    return {str(label): name for label, name in value.items()}


def _check(value: object, hint: object, key: str, item: dataclasses.Field[Any], source: str) -> object:
    documentation = item.metadata.get("help", "")
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = [str(choice) for choice in typing.get_args(hint)]
        if value not in choices:
            close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.3)
            nearest = f"; the nearest is {close[0]!r}" if close else ""
            raise AraeError(
                f"{source}: {key} = {value!r} is none of {', '.join(map(repr, choices))}{nearest}",
                documentation,
            )
        return value
    if origin is tuple:
        element = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple) or not all(type(entry) is element for entry in value):
            wanted = "numbers" if element is int else "strings"
            raise AraeError(f"{source}: {key} = {value!r} must be a list of {wanted}", documentation)
        if any(isinstance(entry, int) and entry < 1 for entry in value):
            raise AraeError(f"{source}: {key} = {value!r} must hold positive numbers", documentation)
        return tuple(value)
    if origin is collections.abc.Mapping:
        return _check_names(value, key, documentation, source)
    if isinstance(hint, types.UnionType):
        raise TypeError(f"{key}: union types are not supported in recipes")
    if hint is str and type(value) is int and key.endswith("_column"):
        value = str(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not hint:
        kinds: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
        raise AraeError(f"{source}: {key} = {value!r} must be {kinds[hint]}", documentation)
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = item.metadata.get("minimum", -math.inf), item.metadata.get("maximum", math.inf)
        if not low <= value <= high or abs(value) == math.inf:  # also refuses nan
            bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            if abs(value) == math.inf:
                bounds = "finite"
            raise AraeError(f"{source}: {key} = {value!r} must be {bounds}", documentation)
    return value
