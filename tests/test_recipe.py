"""Recipes: TOML there and back, precedence, and an error for whatever a recipe cannot mean."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from arae_transfer.errors import AraeError, AraeNotice
from arae_transfer.recipe import (
    REMOVED_KEYS,
    RENAMED_KEYS,
    Recipe,
    load_recipe,
    recipe_from_table,
    recipe_keys,
    recipe_to_table,
    recipe_to_toml,
)

ODD_TEXT = 'a "b" \\ c\nd\te \x7f \x01 \u2028 é 😀 # = [x]'


def another_value(hint: Any, value: Any, item: dataclasses.Field[Any], key: str) -> Any:
    """Return a valid value of a field that is not its default."""
    if typing.get_origin(hint) is Literal:
        return next(choice for choice in typing.get_args(hint) if choice != value)
    if typing.get_origin(hint) is tuple:
        return {int: (3, 5, 7), float: (0.0, 0.1, 1.5), str: ("a b", ODD_TEXT)}[typing.get_args(hint)[0]]
    if typing.get_origin(hint) is Mapping:
        return {"1": "a b", ODD_TEXT: ODD_TEXT}
    if hint is bool:
        return not value
    if hint is str:
        return "a-name" if key == "name" else "_number_" if key == "form.number" else ODD_TEXT
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    if hint is int:
        return value + 1 if value + 1 <= high else value - 1
    # Neither round nor short, so that digits that go missing are seen.
    return low + (min(high, low + 1) - low) * 0.1234567890123456


def other_recipe() -> Recipe:
    recipe = Recipe()
    hints = typing.get_type_hints(Recipe)
    sections: dict[str, Any] = {}
    for item in dataclasses.fields(recipe):
        value = getattr(recipe, item.name)
        if item.name == "task":
            continue  # the other one refuses some of the other values
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            sections[item.name] = another_value(hints[item.name], value, item, item.name)
            continue
        inner_hints = typing.get_type_hints(type(value))
        changes = {
            inner.name: another_value(
                inner_hints[inner.name], getattr(value, inner.name), inner, f"{item.name}.{inner.name}"
            )
            for inner in dataclasses.fields(value)
        }
        sections[item.name] = dataclasses.replace(value, **changes)
    # Images have no place for most of the keys of text; the kind itself is tested with images.
    sections["data"] = dataclasses.replace(sections["data"], kind="text")
    return dataclasses.replace(recipe, **sections)


def flat(recipe: Recipe) -> dict[str, Any]:
    table = recipe_to_table(recipe)
    return {
        f"{section}.{key}" if key else section: value
        for section, inner in table.items()
        for key, value in (inner.items() if isinstance(inner, dict) else [("", inner)])
    }


def refusal(*overrides: str, table: dict[str, Any] | None = None) -> AraeError:
    with pytest.raises(AraeError) as caught:
        recipe_from_table(table or {}, overrides)
    assert "\n" not in caught.value.message
    return caught.value


# --- TOML there and back


def test_every_field_survives_toml(tmp_path: Path) -> None:
    recipe = other_recipe()
    defaults, changed = flat(Recipe()), flat(recipe)
    assert [key for key in defaults if defaults[key] == changed[key]] == ["task", "data.kind"]
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_to_toml(recipe), "utf-8")
    assert load_recipe(path) == recipe


def test_a_classification_survives_toml(tmp_path: Path) -> None:
    recipe = recipe_from_table({}, ["task=classification", "training.schedule=joint", "labels.sentence_pairs=true"])
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_to_toml(recipe), "utf-8")
    assert load_recipe(path) == recipe


def test_the_default_recipe_survives_toml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_to_toml(Recipe()), "utf-8")
    assert load_recipe(path) == Recipe()


def test_a_recipe_survives_json() -> None:
    recipe = other_recipe()
    assert recipe_from_table(json.loads(json.dumps(recipe_to_table(recipe)))) == recipe


def test_every_key_is_documented_in_the_written_file() -> None:
    keys = recipe_keys()
    assert list(keys) == list(flat(Recipe()))
    assert [key for key, (text, _) in keys.items() if not (text.endswith(".") and len(text) > 15)] == []
    written = recipe_to_toml(Recipe()).splitlines()
    for key, (text, default) in keys.items():
        place = next(
            number
            for number, line in enumerate(written)
            if line.startswith(f"{key.rpartition('.')[2]} = ") and written[number - 1] == f"# {text}"
        )
        assert default == flat_value(written[place])


def flat_value(line: str) -> Any:
    import tomllib

    value = next(iter(tomllib.loads(line).values()))
    return tuple(value) if isinstance(value, list) else value


# --- precedence


def test_defaults_then_the_file_then_settings(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[model]\ncode_size = 7\nhidden_size = 9\n", "utf-8")
    recipe = load_recipe(path, ["model.hidden_size=11", "training.seed=1", "training.seed=2"])
    assert recipe.model.code_size == 7
    assert recipe.model.hidden_size == 11
    assert recipe.training.seed == 2
    assert recipe.model.embedding_size == Recipe().model.embedding_size


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("training.optimizer=adam", "training.optimizer", "adam"),
        ('training.optimizer="adam"', "training.optimizer", "adam"),
        (" training.optimizer = adam ", "training.optimizer", "adam"),
        ("model.code_noise=1", "model.code_noise", 1.0),
        ("training.learning_rate=1e-3", "training.learning_rate", 0.001),
        ("training.sentences=1_000", "training.sentences", 1000),
        ("model.bidirectional=true", "model.bidirectional", True),
        ("adversary.critic_layers=[4, 5]", "adversary.critic_layers", [4, 5]),
        ("adversary.critic_layers=[]", "adversary.critic_layers", []),
        ('data.classes=["b", "a"]', "data.classes", ["b", "a"]),
        ("tokenizer.model=/a b/c=d.model", "tokenizer.model", "/a b/c=d.model"),
        ("description=It's [odd", "description", "It's [odd"),
        ("name=other", "name", "other"),
    ],
)
def test_a_setting_reads_as_toml_and_else_as_text(setting: str, key: str, value: object) -> None:
    assert flat(recipe_from_table({}, [setting]))[key] == value


def test_a_setting_leaves_the_table_alone() -> None:
    table: dict[str, Any] = {"model": {"code_size": 7}}
    recipe_from_table(table, ["model.code_size=8"])
    assert table == {"model": {"code_size": 7}}


# --- names


@pytest.mark.parametrize(
    ("file", "name"),
    [("recipe.toml", "shop"), ("small.toml", "shop-small")],
)
def test_a_recipe_is_named_after_its_folder_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / file).write_text("", "utf-8")
    assert load_recipe(folder / file).name == name
    monkeypatch.chdir(folder)
    assert load_recipe(Path(file)).name == name


def test_a_recipe_may_name_itself(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('name = "mine"\n', "utf-8")
    assert load_recipe(tmp_path / "recipe.toml").name == "mine"


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "a\0b"])
def test_a_name_that_is_no_folder_name_is_refused(name: str) -> None:
    assert "name = " in refusal(table={"name": name}).message


# --- errors


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("model.codesize=3", "model.code_size"),
        ("training.lerning_rate=3", "training.learning_rate"),
        ("code_size=3", "model.code_size"),
        ("cycle.code_size=3", "model.code_size"),
        ("adversary.seed=3", "training.seed"),
        ("trainin.batch_size=3", "training.batch_size"),
    ],
)
def test_an_unknown_key_names_the_nearest(setting: str, nearest: str) -> None:
    error = refusal(setting)
    assert "there is no key" in error.message
    assert error.hint == f"the nearest key is {nearest}."


@pytest.mark.parametrize(
    ("table", "key", "nearest"),
    [
        ({"model": {"codesize": 3}}, "model.codesize", "model.code_size"),
        ({"modell": {"code_size": 3}}, "modell", "model"),
        ({"code_size": 3}, "code_size", "model.code_size"),
        ({"descripton": "x"}, "descripton", "description"),
    ],
)
def test_an_unknown_key_or_section_of_a_file_names_the_nearest(table: dict[str, Any], key: str, nearest: str) -> None:
    error = refusal(table=table)
    assert error.message.endswith(f"there is no key {key}")
    assert error.hint == f"the nearest key is {nearest}."


def test_a_name_that_several_sections_have_lists_them() -> None:
    hint = refusal("batch_size=3").hint or ""
    assert "training.batch_size" in hint
    assert "labels.batch_size" in hint
    assert "learning_rate" not in hint


def test_a_key_like_no_other_lists_all() -> None:
    hint = refusal("qqqqqqq=3").hint
    assert hint is not None
    assert "model.code_size, " in hint


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("model.code_size", 1.5, "must be a whole number"),
        ("model.code_size", 3.0, "must be a whole number"),
        ("model.code_size", True, "must be a whole number"),
        ("model.code_size", "3", "must be a whole number"),
        ("model.code_size", [3], "must be a whole number"),
        ("model.code_size", 1, "must be at least 2"),
        ("model.encoder_layers", 25, "must be between 1 and 24"),
        ("model.code_noise", True, "must be a number"),
        ("model.code_noise", "much", "must be a number"),
        ("model.code_noise", -0.1, "must be at least 0"),
        ("model.code_noise", math.nan, "must be at least 0"),
        ("model.code_noise", math.inf, "must be finite"),
        ("model.code_noise", 10**400, "must be finite"),
        ("model.dropout", math.inf, "must be finite"),
        ("model.dropout", 0.96, "must be between 0 and 0.95"),
        ("model.bidirectional", 1, "must be true or false"),
        ("model.bidirectional", "yes", "must be true or false"),
        ("tokenizer.model", 3, "must be a string"),
        ("tokenizer.model", True, "must be a string"),
        ("adversary.critic_layers", 128, "must be a list of numbers"),
        ("adversary.critic_layers", [128, "a"], "must be a list of numbers"),
        ("adversary.critic_layers", [128, True], "must be a list of numbers"),
        ("adversary.critic_layers", [128, 2.0], "must be a list of numbers"),
        ("adversary.critic_layers", [128, 0], "must contain positive numbers"),
        ("data.classes", "negative", "must be a list of strings"),
        ("data.classes", [1], "must be a list of strings"),
        ("training.optimizer", "adm", "is none of 'sgd', 'adam'; the nearest is 'adam'"),
        ("training.optimizer", 3, "is none of"),
        ("training.optimizer", {"name": "adam"}, "is none of"),
        ("name", 3, "must be a string"),
    ],
)
def test_a_value_that_is_impossible_names_the_key(key: str, value: object, complaint: str) -> None:
    section, _, name = key.rpartition(".")
    error = refusal(table={section: {name: value}} if section else {name: value})
    assert f"{key} = " in error.message
    assert complaint in error.message
    assert error.hint == recipe_keys()[key][0]


def test_a_whole_number_may_stand_for_a_real_one() -> None:
    value = recipe_from_table({"model": {"code_noise": 1}}).model.code_noise
    assert value == 1.0
    assert isinstance(value, float)


def test_a_section_must_be_a_section() -> None:
    assert "model must be a section" in refusal(table={"model": 3}).message
    assert "model must be a section" in refusal("model.code_size=3", table={"model": 3}).message
    assert "there is no key model" in refusal("model=3").message


@pytest.mark.parametrize("setting", ["model.code_size", "=3", ""])
def test_a_setting_needs_a_key_and_a_value(setting: str) -> None:
    assert "does not have the form section.key=value" in refusal(setting).message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    with pytest.raises(AraeError, match=r"cannot read the recipe .*recipe\.toml"):
        load_recipe(path)
    path.write_bytes(b"[model\n")
    with pytest.raises(AraeError, match="is not a TOML file"):
        load_recipe(path)
    path.write_bytes(b'name = "\xff"\n')
    with pytest.raises(AraeError, match="is not a TOML file"):
        load_recipe(path)


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[model]\ncode_size = 1\n", "utf-8")
    with pytest.raises(AraeError, match=rf"^{path}: model\.code_size"):
        load_recipe(path)


@pytest.mark.parametrize("setting", ["parallel.sentences=10", "cycle.weight=1.0"])
def test_what_the_alternating_schedule_does_not_know_is_refused(setting: str) -> None:
    key = setting.partition("=")[0]
    with pytest.raises(AraeError, match=f"{key} = .* has no effect in the schedule 'alternating'"):
        recipe_from_table({}, [setting])
    recipe_from_table({}, [setting, "training.schedule=joint"])


@pytest.mark.parametrize(
    "changes", [{"code": "single"}, {"shared_embeddings": False}, {"code_size": 64}, {"embedding_size": 64}]
)
def test_residual_connections_need_vectors_that_can_be_added(changes: dict[str, object]) -> None:
    fitting = {"code": "sequence", "shared_embeddings": True, "residual": True}
    recipe_from_table({"model": fitting})
    with pytest.raises(AraeError, match="residual"):
        recipe_from_table({"model": fitting | changes})


@pytest.mark.parametrize("recorded", [False, True])
def test_keys_of_the_last_version_that_changed_nothing_are_dropped(recorded: bool) -> None:
    table = {"model": {"decoder_layers": 2, "shared_decoder_layers": 0}, "pairs": {"naturalness": 0.0}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recipe_from_table(table, recorded=recorded) == recipe_from_table({"model": {"decoder_layers": 2}})


def test_a_removed_key_is_ignored_with_a_notice() -> None:
    with pytest.warns(AraeNotice, match=r"here: pairs\.naturalness is ignored"):
        assert recipe_from_table({"pairs": {"naturalness": 2.0}}, source="here") == recipe_from_table({})
    with pytest.warns(AraeNotice, match=r"pairs\.naturalness is ignored"):
        recipe_from_table({}, ["pairs.naturalness=2"])


def test_a_renamed_key_means_what_it_meant_with_a_notice() -> None:
    wanted = recipe_from_table({"parallel": {"sentences": 5}, "training": {"schedule": "joint"}})
    with pytest.warns(AraeNotice, match=r"pairs\.sentences is now called parallel\.sentences"):
        assert recipe_from_table({"pairs": {"sentences": 5}, "training": {"schedule": "joint"}}) == wanted
    with pytest.warns(AraeNotice, match=r"--set: pairs\.sentences is now called"):
        assert recipe_from_table({"training": {"schedule": "joint"}}, ["pairs.sentences=5"]) == wanted


def test_an_override_wins_over_the_old_name_in_a_file() -> None:
    with pytest.warns(AraeNotice):
        found = recipe_from_table({"training": {"candidates": 5}}, ["training.sampled_softmax=7"])
    assert found.training.sampled_softmax == 7


def test_old_names_lead_to_keys_that_exist() -> None:
    assert set(RENAMED_KEYS.values()) <= set(recipe_keys())
    assert not (set(RENAMED_KEYS) | set(REMOVED_KEYS)) & set(recipe_keys())


def test_the_recipe_of_a_run_gives_no_notice() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recipe_from_table({"pairs": {"naturalness": 2.0}}, recorded=True) == recipe_from_table({})


def test_a_removed_key_that_made_another_network_is_refused() -> None:
    with pytest.raises(AraeError, match=r"model\.shared_decoder_layers = 1 is no longer supported"):
        recipe_from_table({"model": {"shared_decoder_layers": 1}}, recorded=True)


def test_residual_connections_ask_no_size_of_a_code_that_superposes() -> None:
    fitting = {
        "code": "superposed",
        "code_size": 1024,
        "embedding_size": 64,
        "shared_embeddings": True,
        "residual": True,
    }
    assert recipe_from_table({"model": fitting}).model.attended_size == 64
