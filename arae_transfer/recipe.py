"""Recipes: everything that decides a training run, as frozen dataclasses that read and write TOML.

Precedence: the defaults below < the recipe file < ``--set section.key=value``. The resolved recipe is written into the
run and travels into the export. Each field is documented once, here; help texts, written files and error messages all
take that text.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from arae_transfer.errors import AraeError, AraeNotice
from arae_transfer.tasks import task_of
from arae_transfer.text import TextFormat

Value = TypeVar("Value")


@dataclass(frozen=True)
class RemovedKey:
    """A recipe key of the last version that this one no longer has.

    Attributes:
        off: The value with which the key changed nothing; recipes that set it mean what they meant.
        reason: Why the key is gone, for the notice.
        decides_model: Whether another value made another network, which this version cannot build.
    """

    off: object
    reason: str
    decides_model: bool = False


# Keys of the last version. Recipes, runs and exports that name them still load.
REMOVED_KEYS: dict[str, RemovedKey] = {
    "cycle.doubt": RemovedKey(0.0, "rewrites that the style scorer rejects teach copying"),
    "model.shared_decoder_layers": RemovedKey(0, "sharing layers brought no corpus any gain", decides_model=True),
    "pairs.naturalness": RemovedKey(0.0, "the discriminator improved no model"),
}
# Old name: new name.
RENAMED_KEYS: dict[str, str] = {
    "labels.pairs": "labels.sentence_pairs",
    "pairs.back": "parallel.back",
    "pairs.forward": "parallel.forward",
    "pairs.propose": "parallel.self_training",
    "pairs.sentences": "parallel.sentences",
    "training.candidates": "training.sampled_softmax",
}


def _setting(default: Value, help: str, *, minimum: float = -math.inf, maximum: float = math.inf) -> Value:
    """Declare a recipe field with its one documentation and the range that makes sense."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum}
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata=metadata)
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
    text_column: str = _setting("text", "The column of the text in TSV, CSV and JSONL files.")
    label_column: str = _setting("label", "The column of the class in TSV, CSV and JSONL files.")
    writing: Literal["corpus", "ordinary"] = _setting(
        "corpus",
        "How the data is written: in the form that [form] describes, or as people write, and then brought to that form "
        "when it is read.",
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
    encoder: Literal["lstm", "transformer"] = _setting(
        "lstm", "The encoder: an LSTM, or a Transformer in the layout of BERT, which the task editing reads with."
    )
    encoder_layers: int = _setting(1, "The layers of the encoder.", minimum=1, maximum=24)
    attention_heads: int = _setting(12, "The attention heads of a Transformer's layers.", minimum=1, maximum=64)
    inner_size: int = _setting(1536, "The dimensions of the feed-forward layers of a Transformer.", minimum=1)
    frozen_layers: int = _setting(
        0,
        "How many layers of a Transformer do not learn, from the first on; with the first of them goes the embedding.",
        minimum=0,
        maximum=24,
    )
    pretrained: str = _setting(
        "",
        "A folder with the model.safetensors and vocab.txt of a BERT of this size, whose embedding and first layers a "
        "Transformer starts from; empty: it starts at random.",
    )
    bidirectional: bool = _setting(False, "Whether the encoder reads in both directions.")
    decoder_layers: int = _setting(1, "The LSTM layers of each decoder.", minimum=1, maximum=8)
    shared_embeddings: bool = _setting(False, "Whether encoder, decoders and output layer share one embedding table.")
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


@dataclass(frozen=True)
class ParallelData:
    """Rewrites of training sentences, searched before training by exchanging phrases, as a first parallel corpus."""

    sentences: int = _setting(
        0, "The number of training sentences, classes together, for which a rewrite is searched; 0: none.", minimum=0
    )
    self_training: int = _setting(
        0,
        "The number of rewrites that the model of a run generates for each sentence, beside those mined, when "
        "training starts --from that run (self-training); 0: the run's own pairs are taken over.",
        minimum=0,
        maximum=100,
    )
    back: float = _setting(1.0, "The weight of reconstructing a sentence from its rewrite.", minimum=0)
    forward: float = _setting(0.5, "The weight of producing the rewrite from its sentence.", minimum=0)


@dataclass(frozen=True)
class Editing:
    """Rewriting by span edits (task = "editing"): what a step learns from."""

    denoising: float = _setting(
        0.4,
        "The share of steps that repair sentences damaged by [noise] instead of learning from parallel examples; where "
        "there are no examples, all do.",
        minimum=0,
        maximum=1,
    )
    unchanged: float = _setting(
        0.1,
        "The share of the examples' rewrites that are also shown as sentences to leave as they are: they have the "
        "target class already.",
        minimum=0,
        maximum=1,
    )
    held_out: float = _setting(0.01, "The share of the examples that is kept for validation.", minimum=0, maximum=0.5)
    encoder_rate: float = _setting(
        1.0, "The encoder's learning rate as a share of training.learning_rate.", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class Labels:
    """Classification: which labels are learned from, and how much they count beside all sentences (semi-supervision).

    Three systems of the paper differ in two other keys alone: supervised (``training.reconstruction = 0``,
    ``adversary.weight = 0``), with an autoencoder (``adversary.weight = 0``), and adversarially regularized.
    """

    sentence_pairs: bool = _setting(
        False, "Whether an example is a pair of sentences, such as a premise and a hypothesis."
    )
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
        "One update per network and batch, as the paper's algorithms state it, "
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
    sampled_softmax: int = _setting(
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
    task: Literal["rewriting", "editing", "classification", "generation"] = _setting(
        "rewriting",
        "What is learned: decoders of every class that rewrite (the paper, Section 4), decoders that edit spans of "
        "the source and keep the rest, one classifier of the code beside one decoder (the paper's semi-supervision), "
        "or one kind of text, which the generator writes anew (the paper's language model).",
    )
    data: Data = field(default_factory=Data)
    image: Image = field(default_factory=Image)
    form: TextFormat = field(default_factory=TextFormat)
    tokenizer: Tokenization = field(default_factory=Tokenization)
    noise: InputNoise = field(default_factory=InputNoise)
    model: Model = field(default_factory=Model)
    adversary: Adversary = field(default_factory=Adversary)
    attribute: Attribute = field(default_factory=Attribute)
    parallel: ParallelData = field(default_factory=ParallelData)
    cycle: Cycle = field(default_factory=Cycle)
    editing: Editing = field(default_factory=Editing)
    labels: Labels = field(default_factory=Labels)
    training: Training = field(default_factory=Training)
    validation: Validation = field(default_factory=Validation)


def load_recipe(path: Path, overrides: typing.Sequence[str] = (), *, recorded: bool = False) -> Recipe:
    """Read a recipe file and apply ``section.key=value`` overrides.

    Args:
        path: The file.
        overrides: What replaces single keys of it.
        recorded: Whether a run wrote the file, so that nobody is told of the old keys in it.

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
    return recipe_from_table(table, overrides, source=str(path), recorded=recorded)


def recipe_from_table(
    table: dict[str, Any],
    overrides: typing.Sequence[str] = (),
    *,
    source: str = "the recipe",
    recorded: bool = False,
) -> Recipe:
    """Build a recipe from a nested mapping; see ``load_recipe``."""
    table = {key: dict(value) if isinstance(value, dict) else value for key, value in table.items()}
    _translate_old_keys(table, source, recorded=recorded)
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
    if recipe.training.schedule != "joint":
        # Algorithm 2 has no such networks; ignoring the keys would train something else than was asked for.
        for key, value in (("parallel.sentences", recipe.parallel.sentences), ("cycle.weight", recipe.cycle.weight)):
            if value:
                raise AraeError(
                    f"{source}: {key} = {value:g} has no place in the schedule {recipe.training.schedule!r}",
                    f"set training.schedule=joint, or {key}=0.",
                )
    task_of(recipe).check(recipe, source)
    return recipe


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
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return repr(value)


def _translate_old_keys(table: dict[str, Any], source: str, *, recorded: bool) -> None:
    """Rename the keys of the last version and drop those that are gone, with a notice of one line each.

    Raises:
        AraeError: A removed key described another network.
    """
    for old in (*RENAMED_KEYS, *REMOVED_KEYS):
        section, _, name = old.partition(".")
        if not isinstance(table.get(section), dict) or name not in table[section]:
            continue
        value = table[section].pop(name)
        new = _current_key(old, value, source, recorded=recorded)
        if new is not None:
            new_section, _, new_name = new.partition(".")
            table.setdefault(new_section, {})[new_name] = value
    sections = {item.name for item in dataclasses.fields(Recipe)}
    for section in {key.partition(".")[0] for key in RENAMED_KEYS} - sections:
        if table.get(section) == {}:
            del table[section]


def _current_key(key: str, value: object, source: str, *, recorded: bool = False) -> str | None:
    """Return what a key is called in this version, with a notice where that is new; None: it is gone.

    Raises:
        AraeError: It is gone, and its value described another network.
    """
    if key in RENAMED_KEYS:
        if not recorded:
            warnings.warn(f"{source}: {key} is now called {RENAMED_KEYS[key]}", AraeNotice, stacklevel=4)
        return RENAMED_KEYS[key]
    removed = REMOVED_KEYS.get(key)
    if removed is None:
        return key
    if value != removed.off:
        if removed.decides_model:
            raise AraeError(
                f"{source}: {key} = {value!r} is no longer supported", f"{removed.reason}; leave the key out."
            )
        if not recorded:
            warnings.warn(f"{source}: {key} is ignored; {removed.reason}", AraeNotice, stacklevel=4)
    return None


def _apply_override(table: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise AraeError(f"--set {override!r} is not of the form section.key=value")
    if key not in recipe_keys() and key not in RENAMED_KEYS and key not in REMOVED_KEYS:
        raise _unknown_key(key, list(recipe_keys()), "--set")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string: --set training.optimizer=adam
    current = _current_key(key, value, "--set")
    if current is None:
        return
    key = current
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
    if isinstance(hint, types.UnionType):
        raise TypeError(f"{key}: union types are not supported in recipes")
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
