"""The routes under /v1: the same answers as the command line's, limits that are named, errors that say what to do."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.serving.keys import Keys, hash_key
from arae_transfer.serving.limits import Limits
from tests.descriptions import as_exported

LINES = [
    "The food wasn't good and the service is slow!",
    "great service !",
    "",
    "I hate it. The waiter is bad, and the soup was cold. Never again!",
    "这家餐厅很好吃",
]
KEY = "correct-horse-battery-staple"


def results(client: Any, **members: Any) -> list[dict[str, Any]]:
    answer = client.post("/v1/rewrite", members)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["results"]
    return found


def test_each_text_has_its_own_rewrite_in_order(small: Any, expected_rewrite: Callable[[str, str], str]) -> None:
    lines = ["the food was cold", "great place", "", "the waiter was rude"]
    for name in ("positive", "negative", "neutral tone"):
        found = results(small, text=lines, to=name, form="corpus")
        assert [each["output"] for each in found] == [expected_rewrite(line, name) for line in lines]
        assert [each["source"] for each in found] == lines


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, []),
        ({"beam": 1}, ["--beam", "1"]),
        ({"n_best": 3, "from": "auto"}, ["--n-best", "3", "--from", "auto"]),
        (
            {"sample": 4, "seed": 7, "temperature": 0.8, "rerank": "style=1", "min_confidence": 0.99},
            ["--sample", "4", "--seed", "7", "--temperature", "0.8", "--rerank", "style=1", "--min-confidence", "0.99"],
        ),
        (
            {"from": "auto", "if_already": "rewrite", "long": "keep"},
            ["--from", "auto", "--if-already", "rewrite", "--long", "keep"],
        ),
        ({"if_unchanged": "keep", "form": "ordinary"}, ["--if-unchanged", "keep", "--form", "ordinary"]),
    ],
)
def test_records_are_those_of_the_command_line(shipped: Any, options: dict[str, Any], arguments: list[str]) -> None:
    model = str(shipped.service.default.folder.root)
    command = ["transfer", "--json", "--quiet", "--model", model, "--to", "positive", *arguments]
    said = CliRunner().invoke(app, command, input="".join(f"{line}\n" for line in LINES))
    assert said.exit_code == 0, said.output
    expected = [json.loads(line) for line in said.stdout.splitlines()]
    found = results(shipped, text=LINES, to="positive", **options)
    for record, wanted in zip(found, expected, strict=True):
        record.pop("note")
        assert record == wanted


def test_a_text_of_several_lines_keeps_its_line_ends(small: Any, expected_rewrite: Callable[[str, str], str]) -> None:
    text = "the food was cold\r\n\ngreat place\n"
    (found,) = results(small, text=text, to="negative", form="corpus")
    first, second = (expected_rewrite(line, "negative") for line in ("the food was cold", "great place"))
    assert found["output"] == f"{first}\r\n\n{second}\n"
    assert found["source"] == text
    assert [line["source"] for line in found["lines"]] == ["the food was cold", "", "great place", ""]
    assert found["tokens"] == sum(line["tokens"] for line in found["lines"]) > 0


def test_a_stream_tells_each_sentence_and_then_that_it_is_done(shipped: Any) -> None:
    texts = ["I hate it. The waiter is bad,\nand the soup was cold.  Never again!\n", "", "The room was clean."]
    answer = shipped.post("/v1/rewrite", {"text": texts, "to": "positive"}, Accept="application/x-ndjson")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *parts, last = answer.lines
    whole = results(shipped, text=texts, to="positive")
    for number, text in enumerate(texts):
        own = [part for part in parts if part["index"] == number]
        assert "".join(part["source"] + part["after"] for part in own) == text
        assert "".join(part["output"] + part["after"] for part in own) == whole[number]["output"]
    assert [part["index"] for part in parts] == sorted(part["index"] for part in parts)
    assert last == {"done": {"texts": 3, "parts": len(parts), "repaired": 0}}


def test_no_texts_have_no_answers(small: Any) -> None:
    assert results(small, text=[], to="positive") == []


def test_halves_of_surrogate_pairs_are_replaced_and_counted(small: Any) -> None:
    answer = small.ask(
        "POST",
        "/v1/rewrite",
        b'{"text": "the \\ud83d food \\ude21", "to": "positive"}',
        Content_Type="application/json",
    )
    (found,) = answer.json["results"]
    assert (found["source"], found["repaired"]) == ("the \ufffd food \ufffd", 2)


def test_the_note_says_why_a_line_was_left(shipped: Any) -> None:
    options = {"from": "auto", "min_confidence": 1, "to": "positive"}
    found = results(shipped, text=["这家餐厅很好吃", "great service !", "The food was cold."], **options)
    assert [each["note"] for each in found] == [
        "left unchanged: the model knows too few of its characters",
        "left unchanged: already positive",
        "left unchanged: no candidate had a confidence of 1",
    ]
    assert [each["output"] for each in found] == [each["source"] for each in found]


def test_classes_are_those_of_the_command_line(shipped: Any) -> None:
    model = str(shipped.service.default.folder.root)
    command = ["classify", "--json", "--quiet", "--model", model]
    said = CliRunner().invoke(app, command, input="".join(f"{line}\n" for line in LINES))
    answer = shipped.post("/v1/classify", {"text": LINES})
    assert answer.json["results"] == [json.loads(line) for line in said.stdout.splitlines()]


def test_the_way_between_two_sentences_is_that_of_the_command_line(shipped: Any) -> None:
    model = str(shipped.service.default.folder.root)
    ends = ["The food was cold.", "great service !"]
    command = ["interpolate", *ends, "--json", "--steps", "5", "--to", "negative", "--model", model]
    said = CliRunner().invoke(app, command)
    members = {"first": ends[0], "second": ends[1], "steps": 5, "to": "negative"}
    answer = shipped.post("/v1/interpolate", members)
    assert answer.json["results"] == [json.loads(line) for line in said.stdout.splitlines()]


@pytest.mark.parametrize(
    ("path", "members", "status", "kind", "said"),
    [
        ("rewrite", {"to": "positive"}, 422, "missing", '"text" is missing'),
        ("rewrite", {"text": "a"}, 422, "invalid", "target class is missing"),
        ("rewrite", {"text": "a", "to": "good"}, 422, "invalid", "no class 'good'"),
        ("rewrite", {"text": "a", "to": "positive", "beem": 3}, 422, "unknown-member", "did you mean"),
        ("rewrite", {"text": 3, "to": "positive"}, 422, "wrong-type", '"text" is a whole number'),
        ("rewrite", {"text": ["a", None], "to": "positive"}, 422, "wrong-type", "null at index 1"),
        ("rewrite", {"text": "a", "to": "positive", "beam": True}, 422, "wrong-type", '"beam" is true or false'),
        ("rewrite", {"text": "a", "to": "positive", "beam": 17}, 422, "over-limit", "the limit is 16"),
        ("rewrite", {"text": "a", "to": "positive", "beam": 0}, 422, "invalid", "beam = 0"),
        ("rewrite", {"text": "a", "to": "positive", "beam": 2, "sample": 2}, 422, "invalid", "choose one"),
        ("rewrite", {"text": "a", "to": "positive", "seed": 2}, 422, "invalid", '"seed" needs "sample"'),
        ("rewrite", {"text": "a", "to": "positive", "min_confidence": 2}, 422, "invalid", "no confidence"),
        ("rewrite", {"text": "a", "to": "positive", "long": "spilt"}, 422, "invalid", "did you mean split"),
        ("rewrite", {"text": "a", "to": "positive", "form": "x"}, 422, "invalid", "use auto, ordinary, corpus"),
        ("rewrite", {"text": "a", "to": "positive", "beam": 2, "rerank": "stile=1"}, 422, "invalid", "NAME=WEIGHT"),
        (
            "rewrite",
            {"text": "a", "to": "positive", "model": "x"},
            422,
            "unknown-model",
            "the models are: yelp-sentiment",
        ),
        ("rewrite", {"text": "a", "to": "positive", "n_best": 5, "beam": 3}, 422, "invalid", '"beam" 5'),
        ("rewrite", ["a"], 422, "invalid", "not a JSON object"),
        ("classify", {"text": "a", "to": "positive"}, 422, "unknown-member", "known are text, model, form"),
        ("interpolate", {"first": "a"}, 422, "missing", '"second"'),
        ("interpolate", {"first": "a", "second": "b", "steps": 1}, 422, "invalid", "2 or more"),
        ("interpolate", {"first": "a", "second": "b", "steps": 99}, 422, "over-limit", "the limit is 32"),
        ("interpolate", {"first": "bad " * 50, "second": "b"}, 422, "invalid", "shorter one"),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(
    shipped: Any, path: str, members: Any, status: int, kind: str, said: str
) -> None:
    answer = shipped.post(f"/v1/{path}", members)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["type"] == f"urn:arae:problem:{kind}"
    assert problem["status"] == status
    assert said in f"{problem['detail']} {problem.get('remedy', '')}"
    assert problem["remedy"]
    assert "--" not in problem["remedy"], "options of the command line mean nothing to a client"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"text": "\xff", "to": "positive"}', "application/json", 400),
        (b'{"text": "a", "to": "positive", "temperature": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"text": "a", "to": "positive"}', "text/plain", 415),
        (b'{"text": "a", "to": "positive", "seed": ' + b"9" * 10_000 + b"}", "application/json", 400),
        (b"", "application/json", 400),
    ],
)
def test_what_is_not_json_is_refused(small: Any, body: bytes, kind: str, status: int) -> None:
    answer = small.ask("POST", "/v1/rewrite", body, Content_Type=kind)
    assert answer.status == answer.json["status"] == status
    assert answer.json["remedy"]


def test_a_model_without_candidates_says_so(small: Any) -> None:
    for options in ({"beam": 3}, {"from": "auto"}, {"min_confidence": 0.5}):
        answer = small.post("/v1/rewrite", {"text": "a", "to": "positive", **options})
        assert (answer.status, answer.json["type"]) == (422, "urn:arae:problem:invalid")
        assert "cannot search candidates" in answer.json["detail"]
    assert "cannot classify" in small.post("/v1/classify", {"text": "a"}).json["detail"]


def test_lists_and_single_texts_meet_the_limits_alike(pristine_model: Path, serve: Any) -> None:
    limits = Limits(characters=20, lines=3, texts=2, body_bytes=500, queue_lines=3)
    with serve(pristine_model, limits=limits) as client:
        for text, name, given in (
            ("a" * 21, "characters", 21),
            (["b", "a" * 21], "characters", 21),
            ("a\nb\nc\nd", "lines", 4),
            (["a\nb", "c\nd"], "lines", 4),
            (["a", "b", "c"], "texts", 3),
        ):
            for accept in ("application/json", "application/x-ndjson"):
                answer = client.post("/v1/rewrite", {"text": text, "to": "positive"}, Accept=accept)
                assert answer.status == 422
                most = getattr(limits, name)
                assert answer.json["limit"] == {"name": name, "most": most, "given": given}
        for text in ("a" * 20, ["a" * 20, "b\nc"], "a\nb\nc"):
            assert client.post("/v1/rewrite", {"text": text, "to": "positive"}).status == 200
        large = client.post("/v1/rewrite", {"text": "a" * 600, "to": "positive"})
        assert (large.status, large.json["limit"]["name"]) == (413, "body_bytes")
        told = client.get("/info").json["limits"]
        assert (told["characters"], told["body_bytes"], told["queue_lines"]) == (20, 500, 3)


def test_a_client_that_asks_first_sends_no_body_too_large(small: Any) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
        head = "POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_not_waited_for(pristine_model: Path, serve: Any) -> None:
    with (
        serve(pristine_model, limits=Limits(body_seconds=1)) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection,
    ):
        head = "POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 10\r\n\r\n{{".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_keys_are_asked_for_where_there_is_a_file_of_them(pristine_model: Path, serve: Any) -> None:
    with serve(pristine_model, keys=Keys((hash_key("another-key-of-somebody"), hash_key(KEY)))) as client:
        for path in ("/v1/models", "/info", "/metrics"):
            refused = client.get(path)
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
            assert client.get(path, Authorization="Bearer wrong").status == 401
            assert client.get(path, Authorization=f"Basic {KEY}").status == 401
            assert client.get(path, Authorization=f"Bearer {KEY}").status == 200
        body = {"text": "great", "to": "positive"}
        assert client.post("/v1/rewrite", body).status == 401
        assert client.post("/v1/rewrite", body, Authorization=f"bearer {KEY}").status == 200
        for path in ("/", "/health/live", "/health/ready", "/openapi.json"):
            assert client.get(path).status == 200
        said = client.get("/metrics", Authorization=f"Bearer {KEY}").body.decode()
        assert KEY not in said
        assert hash_key(KEY) not in said


def test_pages_of_other_origins_may_call_only_where_they_are_named(
    pristine_model: Path, serve: Any, small: Any
) -> None:
    ask = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type,authorization"}
    with serve(pristine_model, origins=("https://good.example",), keys=Keys((hash_key(KEY),))) as client:
        allowed = client.ask("OPTIONS", "/v1/rewrite", Origin="https://good.example", **ask)
        assert allowed.status == 200
        assert allowed.headers["access-control-allow-origin"] == "https://good.example"
        assert "access-control-allow-credentials" not in allowed.headers
        assert (
            "access-control-allow-origin"
            not in client.ask("OPTIONS", "/v1/rewrite", Origin="https://bad.example", **ask).headers
        )
        refused = client.get("/info", Origin="https://good.example")
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://good.example")
    assert "access-control-allow-origin" not in small.get("/info", Origin="https://good.example").headers


def test_a_full_queue_says_when_to_come_again(pristine_model: Path, serve: Any) -> None:
    limits = Limits(queue_lines=1000, lines=1000, batch_lines=1, characters=100_000)
    many = {"text": "\n".join(["the food was cold"] * 1000), "to": "negative"}
    with serve(pristine_model, limits=limits) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(client.post, "/v1/rewrite", many)
        while not client.service.batcher.waiting and not first.done():
            time.sleep(0.01)
        refused = client.post("/v1/rewrite", many)
        assert refused.status == 429
        assert refused.headers["retry-after"] == str(refused.json["retry_after"])
        assert "the limit is 1,000" in refused.json["detail"]
        assert len(first.result().json["results"][0]["lines"]) == 1000
        assert client.post("/v1/rewrite", {"text": "again", "to": "positive"}).status == 200


def test_unknown_routes_and_methods_are_problems(small: Any) -> None:
    assert small.get("/v1/translate").json["type"] == "urn:arae:problem:no-route"
    wrong = small.get("/v1/rewrite")
    assert (wrong.status, wrong.headers["allow"], wrong.json["remedy"]) == (405, "POST", "use POST.")


def test_metrics_count_requests_and_lines_and_hold_no_text(shipped: Any) -> None:
    secret = "zanzibar"
    before = shipped.get("/metrics").body.decode()
    results(shipped, text=[f"the food was cold in {secret} .", "great service !"], to="positive", **{"from": "auto"})
    shipped.get(f"/{secret}")
    after = shipped.get("/metrics").body.decode()
    assert secret not in after

    def value(text: str, name: str) -> float:
        return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), 0.0)

    for name, more in (
        ('arae_requests_total{route="POST /v1/rewrite",status="200"}', 1),
        ('arae_lines_total{outcome="already"}', 1),
        ('arae_lines_total{outcome="rewritten"}', 1),
        ("arae_batch_lines_sum", 2),
        ('arae_requests_total{route="other",status="404"}', 1),
    ):
        assert value(after, name) - value(before, name) == more, name
    assert "127.0.0.1" not in after
    assert value(after, "arae_ready") == 1
    assert 'model="yelp-sentiment"' in after


def test_several_models_answer_by_their_names(
    pristine_model: Path, small_model: Path, serve: Any, expected_rewrite: Callable[[str, str], str]
) -> None:
    config = json.loads((small_model / "config.json").read_text())
    (small_model / "config.json").write_text(as_exported({**config, "name": "other"}))
    with serve(pristine_model, small_model) as client:
        assert [each["name"] for each in client.get("/v1/models").json["models"]] == ["small", "other"]
        for name, expected in ((None, "small"), ("other", "other"), ("small", "small")):
            answer = client.post(
                "/v1/rewrite", {"text": "great place", "to": "negative", "model": name, "form": "corpus"}
            )
            assert answer.json["model"] == expected
            assert answer.json["results"][0]["output"] == expected_rewrite("great place", "negative")
