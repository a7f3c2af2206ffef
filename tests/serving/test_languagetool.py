"""LanguageTool's interface, asked as editors ask: byte for byte what their sources send for a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from arae_transfer.serving.keys import Keys, hash_key
from arae_transfer.serving.languagetool import Annotated
from arae_transfer.serving.limits import Limits
from arae_transfer.serving.service import Checking

SHIPPED = Path(__file__).resolve().parents[2] / "exported" / "yelp-sentiment"
KEY = "a-key-that-an-editor-sends"

# The plug-in of Obsidian (src/api.ts): JavaScript's encodeURIComponent, a text as annotated Markdown.
OBSIDIAN = (
    "data={}&language=auto&enabledOnly=false&level=default&disabledCategories=TYPOGRAPHY&username=me&apiKey=" + KEY
)
# LibreOffice (languagetoolimp.cxx): libcurl, the text as it is.
LIBRE_OFFICE = "text={}&language=en-US"
# LTeX (LanguageToolHttpInterface.java): Java's URLEncoder, a hash map's order, and Java's client, which asks to speak
# HTTP/2 and calls the form JSON.
LTEX = "data={}&level=picky&disabledRules=UPPERCASE_SENTENCE_START%2CEN_QUOTES&language=en-US"
LTEX_HEADERS = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2_Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "User_Agent": "Java-http-client/17.0.2",
    "Content_Type": "application/json",
}


def marked(answer: Any, text: str) -> list[str]:
    """Return the marked parts of a text, by offsets in UTF-16 units."""
    assert answer.status == 200, answer.body
    units = text.encode("utf-16-le")
    ranges = [(each["offset"], each["offset"] + each["length"]) for each in answer.json["matches"]]
    return [units[2 * start : 2 * end].decode("utf-16-le") for start, end in ranges]


def test_what_libre_office_sends(shipped: Any) -> None:
    text = "The food was cold. We love it!"
    answer = shipped.form("/v2/check", LIBRE_OFFICE.format(text))
    assert marked(answer, text) == ["The food was cold."]
    (match,) = answer.json["matches"]
    assert match["message"].startswith("This sentence is negative")
    assert match["shortMessage"] == "Not positive"
    assert match["replacements"]
    rewrite = shipped.post("/v1/rewrite", {"text": "The food was cold.", "to": "positive", "n_best": 3})
    offered = [each["output"] for each in rewrite.json["results"][0]["candidates"]]
    assert [each["value"] for each in match["replacements"]] == offered


def test_what_ltex_sends(shipped: Any) -> None:
    parts = [
        {"markup": "\\section{", "interpretAs": ""},
        {"text": "Food"},
        {"markup": "}\n\n", "interpretAs": "\n\n"},
        {"text": "The soup was 😡 cold and bad. The "},
        {"markup": "\\emph{"},
        {"text": "waiter"},
        {"markup": "}"},
        {"text": " was rude, I will never come back."},
    ]
    whole = "".join(part.get("text") or part["markup"] for part in parts)
    body = LTEX.format(quote_plus(json.dumps({"annotation": parts}, ensure_ascii=False)))
    answer = shipped.form("/v2/check", body, **LTEX_HEADERS)
    assert marked(answer, whole) == [
        "The soup was 😡 cold and bad.",
        "The \\emph{waiter} was rude, I will never come back.",
    ]
    first, second = answer.json["matches"]
    assert "😡" in first["replacements"][0]["value"]
    assert second["replacements"] == [], "a rewrite would take the markup away"
    assert second["sentence"] == "The waiter was rude, I will never come back."
    assert first["rule"]["id"] == "ARAE_POSITIVE"


def test_what_obsidian_sends(pristine_model: Path, serve: Any) -> None:
    parts = [
        {"text": "It was bad", "offset": {"start": 0, "end": 10}},
        {"markup": "\n\n- ", "interpretAs": "\n\n• ", "offset": {"start": 10, "end": 14}},
        {"text": "The waiter was rude.", "offset": {"start": 14, "end": 34}},
    ]
    body = OBSIDIAN.format(quote(json.dumps({"annotation": parts}), safe="~()*!.'"))
    with serve(SHIPPED, keys=Keys((hash_key(KEY),))) as client:
        answer = client.form("/v2/check", body, Accept="application/json")
        assert marked(answer, "It was bad\n\n- The waiter was rude.")[0] == "It was bad"
        assert client.form("/v2/check", body.replace(KEY, "wrong")).status == 401
        assert client.form("/v2/check", "text=a", Authorization=f"Bearer {KEY}").status == 200
        assert client.get("/v2/languages").status == 200


def test_the_address_names_another_target_class(shipped: Any) -> None:
    text = "The food was cold. We love this great place!"
    assert marked(shipped.form("/to/neg/v2/check", f"text={text}"), text) == ["We love this great place!"]
    assert shipped.form("/to/none/v2/check", f"text={text}").status == 422


def test_options_set_target_class_and_confidence(serve: Any) -> None:
    text = "The food was cold. We love this great place!"
    with serve(SHIPPED, checking=Checking(to="negative", confidence=1.0)) as client:
        assert marked(client.form("/v2/check", f"text={text}"), text) == []
        assert client.form("/to/positive/v2/check", f"text={text}").status == 200


@pytest.mark.parametrize(
    "fields",
    [
        "disabledRules=A,ARAE_POSITIVE",
        "disabledCategories=STYLE",
        "enabledOnly=true&enabledRules=OTHER",
        "enabledOnly=true",
    ],
)
def test_a_rule_that_is_switched_off_marks_nothing(shipped: Any, fields: str) -> None:
    answer = shipped.form("/v2/check", f"text=The food was cold.&language=en-US&{fields}")
    assert answer.json["matches"] == []


def test_a_rule_that_alone_is_switched_on_marks(shipped: Any) -> None:
    for fields in ("enabledOnly=true&enabledRules=ARAE_POSITIVE", "enabledOnly=yes&enabledCategories=STYLE"):
        assert shipped.form("/v2/check", f"text=The food was cold.&{fields}").json["matches"]


def test_context_and_sentence_show_where_it_is(shipped: Any) -> None:
    text = "Good food 😀 here, and friendly people!\nThe soup was cold. Thanks."
    answer = shipped.form("/v2/check", f"text={quote(text)}&language=en-GB")
    match = next(each for each in answer.json["matches"] if each["sentence"] == "The soup was cold.")
    context = match["context"]
    units = context["text"].encode("utf-16-le")
    shown = units[2 * context["offset"] : 2 * (context["offset"] + context["length"])].decode("utf-16-le")
    assert shown == "The soup was cold."
    assert "\n" not in context["text"]
    assert answer.json["language"]["code"] == "en-GB"
    for start, end in answer.json["sentenceRanges"]:
        assert 0 <= start < end <= len(text) + 1


def test_texts_without_words_and_without_end_are_fine(shipped: Any) -> None:
    for text in ("", " \n ", "...", "123 + 4", "word", "a\n" * 200):
        assert shipped.form("/v2/check", f"text={quote(text)}&language=auto").status == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("language=en-US", 400, '"text"'),
        ("data=x", 400, "annotation"),
        ("data=" + quote('{"annotation": 3}'), 400, "annotation"),
        ("&".join(f"a{number}=1" for number in range(200)), 400, "form"),
        ("text=" + "a" * 200, 422, "the limit is 100"),
        ("data=" + quote(json.dumps({"annotation": [{"text": "a" * 200}]})), 422, "the limit is 100"),
    ],
)
def test_bad_requests_say_what_to_send(serve: Any, body: str, status: int, said: str) -> None:
    with serve(SHIPPED, limits=Limits(characters=100)) as client:
        answer = client.form("/v2/check", body)
    assert answer.status == status
    assert said in answer.json["detail"] + answer.json["remedy"]


def test_a_model_without_a_scorer_checks_nothing(small: Any) -> None:
    answer = small.form("/v2/check", "text=a&language=en")
    assert answer.status == 422
    assert "cannot classify" in answer.json["detail"]


def test_places_count_utf_16_units_over_markup() -> None:
    data = {
        "annotation": [{"text": "a😀"}, {"markup": "<b😀>"}, {"text": "c"}, {"markup": "<p>", "interpretAs": "\n\n"}]
    }
    found = Annotated.parse(json.dumps(data))
    assert found.plain == "a😀c\n\n"
    assert list(found.places) == [0, 1, 8, 9, 9, 12]
