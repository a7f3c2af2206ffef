"""Recipes: all settings of a training run, as frozen dataclasses that read and write TOML.

Precedence: the defaults below < the recipe file < ``--set section.key=value``. The resolved recipe is written into the
run and travels into the export. Each field is documented once, here; help texts, written files and error messages all
take that text.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from arae_transfer.errors import AraeError, AraeNotice
from arae_transfer.parallel.options import ParallelData as ParallelData
from arae_transfer.parallel.options import PhraseSearch as PhraseSearch
from arae_transfer.parallel.options import PhraseTable as PhraseTable
from arae_transfer.parallel.options import RewriteScores as RewriteScores
from arae_transfer.parallel.options import SelfTraining as SelfTraining
from arae_transfer.recipe_sections import Adversary as Adversary
from arae_transfer.recipe_sections import Attribute as Attribute
from arae_transfer.recipe_sections import Cycle as Cycle
from arae_transfer.recipe_sections import Data as Data
from arae_transfer.recipe_sections import Editing as Editing
from arae_transfer.recipe_sections import Image as Image
from arae_transfer.recipe_sections import InputNoise as InputNoise
from arae_transfer.recipe_sections import Labels as Labels
from arae_transfer.recipe_sections import Model as Model
from arae_transfer.recipe_sections import Quality as Quality
from arae_transfer.recipe_sections import Tokenization as Tokenization
from arae_transfer.recipe_sections import Training as Training
from arae_transfer.recipe_sections import Validation as Validation
from arae_transfer.recipe_sections import setting
from arae_transfer.recipe_values import check_value
from arae_transfer.tasks import task_of
from arae_transfer.text import TextFormat


@dataclass(frozen=True)
class RemovedKey:
    """A recipe key of the previous version that no longer exists.

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
    "pairs.propose": "self_training.rewrites",
    "pairs.sentences": "parallel.sentences",
    "training.candidates": "training.sampled_softmax",
}


@dataclass(frozen=True)
class Recipe:
    """A complete recipe; each field is a section of the TOML file."""

    name: str = setting("custom", "The name of the recipe, its runs and its export.")
    description: str = setting("", "A sentence about the purpose of the recipe.")
    data_source: str = setting("", "The source and the terms of the data, for the model card.")
    task: Literal["rewriting", "editing", "classification", "generation"] = setting(
        "rewriting",
        "What to train. rewriting: one decoder per class (the paper, Section 4); editing: decoders that edit "
        "spans of the source and keep the rest; classification: one decoder and a classifier of the code (the "
        "paper's semi-supervision); generation: a generator of new sentences of one class (the paper's "
        "language model).",
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
    phrase_table: PhraseTable = field(default_factory=PhraseTable)
    phrase_search: PhraseSearch = field(default_factory=PhraseSearch)
    rewrite_scores: RewriteScores = field(default_factory=RewriteScores)
    self_training: SelfTraining = field(default_factory=SelfTraining)
    cycle: Cycle = field(default_factory=Cycle)
    editing: Editing = field(default_factory=Editing)
    quality: Quality = field(default_factory=Quality)
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
            f"{path} is not a TOML file: {error}",
            "give the name or the .toml file of a recipe; --data takes the training text.",
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
            f"{source}: model.residual = true adds embeddings to code vectors, and their sizes differ here",
            'set model.code="sequence", model.shared_embeddings=true and one size for both, or '
            'model.code="superposed", or model.residual=false.',
        )
    if recipe.training.schedule != "joint":
        # Algorithm 2 has no such networks; ignoring the keys would train something else than was asked for.
        for key, value in (("parallel.sentences", recipe.parallel.sentences), ("cycle.weight", recipe.cycle.weight)):
            if value:
                raise AraeError(
                    f"{source}: {key} = {value:g} has no effect in the schedule {recipe.training.schedule!r}",
                    f"set training.schedule=joint, or {key}=0.",
                )
    task_of(recipe).check(recipe, source)
    return recipe


def set_keys(settings: typing.Iterable[str]) -> set[str]:
    """Return the keys that ``section.key=value`` settings set, with renamed keys translated."""
    given = {setting.partition("=")[0].strip() for setting in settings}
    return {RENAMED_KEYS.get(key, key) for key in given}


def recipe_to_table(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as nested mappings of TOML and JSON types."""
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return table


def recipe_to_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML, with the documentation of every key."""
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
    """Return every ``section.key`` with its documentation and default."""
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


def _translate_old_keys(table: dict[str, Any], source: str, *, recorded: bool) -> None:
    """Translate renamed keys of the previous version and drop removed ones, with a notice for each.

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
    """Return the current name of a key, or None for a removed key; report the change.

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
        raise AraeError(f"--set {override!r} does not have the form section.key=value")
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
            values[name] = check_value(value, hint, key, item, source)
    return kind(**values)
