"""LanguageTool's HTTP interface, for editors that support other servers.

``POST /v2/check`` marks each sentence that is not of the target class and offers rewrites. A path that begins with
``/to/CLASS`` names another target class than the server's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from arae_transfer import __version__
from arae_transfer.errors import AraeError
from arae_transfer.serving.api import json_response, service_of
from arae_transfer.serving.engine import sentences_of
from arae_transfer.serving.problems import Problem
from arae_transfer.serving.reading import check_length, read_body
from arae_transfer.serving.texts import repair

LANGUAGE = {"name": "English (US)", "code": "en-US", "longCode": "en-US"}
LANGUAGES = [
    {"name": "English", "code": "en", "longCode": "en"},
    {"name": "English (US)", "code": "en", "longCode": "en-US"},
    {"name": "English (GB)", "code": "en", "longCode": "en-GB"},
]
CATEGORY = "STYLE"
CONTEXT = 40
"""Characters of context on either side of a match."""

_MOST_FIELDS = 100


@dataclass(frozen=True)
class Annotated:
    """Text with markup, from the field ``data``.

    Attributes:
        plain: The text to check: markup stands in it as what it means.
        places: For each character of ``plain``, and for its end, the place in the whole text, in UTF-16 units.
        markup: The places in ``plain`` at which markup stands.
    """

    plain: str
    places: Sequence[int]
    markup: frozenset[int]

    @classmethod
    def of_text(cls, text: str) -> Annotated:
        """Return a text without markup."""
        return cls(text, _units(text, 0), frozenset())

    @classmethod
    def parse(cls, data: str) -> Annotated:
        r"""Read ``{"annotation": [{"text": "A "}, {"markup": "<b>"}, {"markup": "<p>", "interpretAs": "\n\n"}]}``.

        Raises:
            Problem: It is something else.
        """
        try:
            parts = json.loads(data)["annotation"]
            plain, places, markup = "", [], set()
            offset = 0
            for part in parts:
                text = repair(str(part.get("text", "")))[0]
                marked = repair(str(part.get("markup", "")))[0]
                if marked:
                    markup.add(len(plain))
                    meant = repair(str(part.get("interpretAs", "")))[0]
                    markup.update(range(len(plain), len(plain) + len(meant)))
                    # What markup stands for begins where it begins.
                    plain += meant
                    places += [offset] * len(meant)
                    offset += _length(marked)
                plain += text
                places += _units(text, offset)[:-1]
                offset += _length(text)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Problem(
                400, "bad-data", '"data" is not an annotated text', 'send {"annotation": [{"text": "..."}, ...]}.'
            ) from error
        return cls(plain, [*places, offset], frozenset(markup))


async def check(request: Request) -> Response:
    """Answer ``POST /v2/check``."""
    service = service_of(request)
    limits = service.limits
    # Whatever its type is called: LTeX says that its form is JSON.
    fields = _fields(await read_body(request, limits))
    service.authorize(request, fields.get("apiKey"))
    if "data" in fields:
        annotated = Annotated.parse(fields["data"])
    elif "text" in fields:
        annotated = Annotated.of_text(repair(fields["text"])[0])
    else:
        raise Problem(400, "missing", '"text" or "data" is missing', 'send "text", form-encoded.')
    check_length(annotated.plain, limits)
    checking = service.checking
    try:
        task = service.default.check_task(
            request.path_params.get("to", checking.to), checking.confidence, checking.offers
        )
    except AraeError as error:
        raise Problem.of(error) from error
    rule = _rule(task.to)
    sentences = _sentences(annotated.plain) if _wanted(fields, rule["id"]) else []
    texts = [text for _, text in sentences]
    try:
        found = await service.answers(request, service.submit(task, texts, [len(text) for text in texts]))
    except AraeError as error:
        raise Problem.of(error, 500, "model") from error
    matches = [
        _match(annotated, start, text, task.to, rule, *each)
        for (start, text), each in zip(sentences, found, strict=True)
        if each is not None
    ]
    return json_response(_answer(fields.get("language", "auto"), matches, annotated, sentences))


async def languages(request: Request) -> Response:
    """Answer ``GET /v2/languages``."""
    return json_response(LANGUAGES)


def _fields(body: bytes) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        Problem: It is none.
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Problem(400, "bad-form", "the body is not a form", "send fields as NAME=VALUE&..., in UTF-8.") from error
    return dict(pairs)


def _wanted(fields: dict[str, str], rule: str) -> bool:
    """Return whether the client's choice of rules includes this one."""

    def named(field: str) -> set[str]:
        return {name.strip() for name in fields.get(field, "").split(",") if name.strip()}

    if rule in named("disabledRules") or CATEGORY in named("disabledCategories"):
        return False
    if fields.get("enabledOnly", "").lower() in ("true", "yes", "1"):
        return rule in named("enabledRules") or CATEGORY in named("enabledCategories")
    return True


def _sentences(text: str) -> list[tuple[int, str]]:
    """Return the sentences of a text that have words, and their positions."""
    sentences, start = [], 0
    for unit in sentences_of(text):
        lead = len(unit.text) - len(unit.text.lstrip())
        body = unit.text.strip()
        if any(map(str.isalpha, body)):
            sentences.append((start + lead, body))
        start += len(unit.text) + len(unit.after)
    return sentences


def _rule(to: str) -> dict[str, Any]:
    name = "".join(letter if letter.isalnum() else "_" for letter in to.upper())
    return {
        "id": f"ARAE_{name}",
        "description": f"Sentences that are not {to}",
        "issueType": "style",
        "category": {"id": CATEGORY, "name": "Style"},
    }


def _match(
    annotated: Annotated,
    start: int,
    text: str,
    to: str,
    rule: dict[str, Any],
    found: str,
    probability: float,
    offered: Sequence[str],
) -> dict[str, Any]:
    """Return a match; a sentence with markup gets no rewrites, which would lose the markup."""
    end = start + len(text)
    plain, places = annotated.plain, annotated.places
    # The end is behind the last character, not before the next one: markup may stand between them.
    offset = places[start]
    length = places[end - 1] + _length(plain[end - 1]) - offset
    broken = any(start < place < end for place in annotated.markup)
    before = max(0, start - CONTEXT)
    context = plain[before : end + CONTEXT]
    return {
        "message": f"This sentence is {found} ({probability:.0%}), not {to}.",
        "shortMessage": f"Not {to}",
        "replacements": [] if broken else [{"value": value} for value in offered],
        "offset": offset,
        "length": length,
        "context": {
            "text": context.replace("\n", " "),
            "offset": _length(plain[before:start]),
            "length": _length(text),
        },
        "sentence": text,
        "type": {"typeName": "Other"},
        "rule": rule,
        "ignoreForIncompleteSentence": False,
        "contextForSureMatch": 0,
    }


def _answer(
    language: str, matches: list[dict[str, Any]], annotated: Annotated, sentences: Sequence[tuple[int, str]]
) -> dict[str, Any]:
    known = next((each for each in LANGUAGES if each["longCode"] == language), LANGUAGE)
    spoken = {"name": known["name"], "code": known["longCode"]}
    ranges = []
    for start, text in sentences:
        end = start + len(text) - 1
        ranges.append([annotated.places[start], annotated.places[end] + _length(annotated.plain[end])])
    return {
        "software": {
            "name": "arae",
            "version": __version__,
            "buildDate": "",
            "apiVersion": 1,
            "premium": False,
            "status": "",
        },
        "warnings": {"incompleteResults": False},
        "language": {**spoken, "detectedLanguage": {**spoken, "confidence": 1.0}},
        "matches": matches,
        "sentenceRanges": ranges,
    }


def _length(text: str) -> int:
    """Return the number of UTF-16 units of a text."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def _units(text: str, start: int) -> list[int]:
    """Return the position of each character, and of the end, in UTF-16 units from a start."""
    places = [start]
    for letter in text:
        places.append(places[-1] + (2 if letter > "\uffff" else 1))
    return places
