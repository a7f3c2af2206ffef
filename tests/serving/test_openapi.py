"""openapi.json: it knows the routes, and real answers are as it says."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from arae_transfer.serving import options
from arae_transfer.serving.application import routes

DESCRIPTION = json.loads(files("arae_transfer.serving").joinpath("openapi.json").read_bytes())


def check(found: Any, path: str, method: str, status: int, kind: str = "application/json") -> None:
    """Hold an answer against its description."""
    response = DESCRIPTION["paths"][path][method]["responses"][str(status)]
    if "$ref" in response:
        response = DESCRIPTION["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][kind]["schema"]
    Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(found)


def test_every_route_is_described_and_no_other() -> None:
    there = {(route.path, (route.methods or set()).difference({"HEAD"}).pop().lower()) for route in routes()}
    described = {(path, name) for path, item in DESCRIPTION["paths"].items() for name in item if name != "parameters"}
    assert described == there


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [each for value in node.values() for each in references(value)]
        return [each for value in node for each in references(value)] if isinstance(node, list) else []

    found = references(DESCRIPTION)
    assert len(found) > 50
    for reference in found:
        node = DESCRIPTION
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for schema in DESCRIPTION["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "known", "besides"),
    [
        ("RewriteRequest", options.REWRITE_OPTIONS, {"text", "model"}),
        ("ClassifyRequest", options.CLASSIFY_OPTIONS, {"text", "model"}),
        ("InterpolateRequest", options.INTERPOLATE_OPTIONS, {"first", "second", "model"}),
    ],
)
def test_the_options_are_those_that_are_read(schema: str, known: dict[str, Any], besides: set[str]) -> None:
    assert set(DESCRIPTION["components"]["schemas"][schema]["properties"]) == set(known) | besides


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/info", "/v1/models", "/v2/languages", "/openapi.json"]
)
def test_answers_to_get_are_as_described(shipped: Any, path: str) -> None:
    answer = shipped.get(path)
    assert answer.headers["content-type"] == "application/json"
    check(answer.json, path, "get", answer.status)


@pytest.mark.parametrize(
    ("path", "members", "status"),
    [
        ("/v1/rewrite", {"text": "The food was cold.", "to": "positive"}, 200),
        ("/v1/rewrite", {"text": ["Bad!\nGood!", ""], "to": "positive", "n_best": 3, "from": "auto"}, 200),
        ("/v1/rewrite", {"text": [], "to": "positive"}, 200),
        ("/v1/rewrite", {"text": 1, "to": "positive"}, 422),
        ("/v1/rewrite", {"text": "a" * 20_000, "to": "positive"}, 422),
        ("/v1/rewrite", {"text": "a" * 2_000_000, "to": "positive"}, 413),
        ("/v1/classify", {"text": ["The food was cold.", ""]}, 200),
        ("/v1/classify", {}, 422),
        ("/v1/interpolate", {"first": "bad food .", "second": "great place !", "to": "positive", "steps": 3}, 200),
        ("/v1/interpolate", {"first": "bad food ."}, 422),
    ],
)
def test_answers_to_post_are_as_described(shipped: Any, path: str, members: dict[str, Any], status: int) -> None:
    answer = shipped.post(path, members)
    assert answer.status == status
    check(answer.json, path, "post", status, answer.headers["content-type"])
    schema = DESCRIPTION["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = Draft202012Validator({**schema, "components": DESCRIPTION["components"]})
    # It knows the shape of a request, not the limits of a server.
    assert described.is_valid(members) == (status == 200 or len(str(members)) > 10_000)


def test_lines_of_a_stream_are_as_described(shipped: Any) -> None:
    members = {"text": "Bad food. Great place!\nI hate it.", "to": "positive", "n_best": 2}
    answer = shipped.post("/v1/rewrite", members, Accept="application/x-ndjson")
    assert len(answer.lines) == 4
    for line in answer.lines:
        check(line, "/v1/rewrite", "post", 200, "application/x-ndjson")


def test_marks_are_as_described(shipped: Any) -> None:
    for path in ("/v2/check", "/to/{to}/v2/check"):
        answer = shipped.form(path.replace("{to}", "positive"), "text=The food was cold. Great!&language=en-US")
        assert answer.json["matches"]
        check(answer.json, path, "post", 200)


def test_answers_of_a_model_that_edits_are_as_described(serve: Any, exported_editor: Path) -> None:
    members = {"text": "The food was cold.\nThe soup was slow.", "to": "good", "copy_above": 1.0, "beam": 3}
    with serve(exported_editor) as client:
        answer = client.post("/v1/rewrite", members)
        check(answer.json, "/v1/rewrite", "post", 200)
        (found,) = answer.json["results"]
        keeps = [line["keep"] for line in found["lines"]]
        assert all(0 <= keep <= 1 for keep in keeps)
        assert found["keep"] == pytest.approx(keeps[0] * keeps[1], abs=1e-4)
        assert client.post("/v1/rewrite", {**members, "copy_above": 2}).status == 422
        refused = client.post("/v1/interpolate", {"first": "bad .", "second": "good .", "to": "good"})
        assert refused.status == 422
        assert "edits lines" in refused.json["detail"]
