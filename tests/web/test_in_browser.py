"""The page in a real browser: the answers of the command line, without its server, without any other host."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.web.runtime import read_runtime
from arae_transfer.web.site import write_site
from tests.chromium import CONTRAST, SECONDS, hosts, in_browser, start_browser
from tests.web.conftest import SHIPPED

pytestmark = in_browser
# What people type, beside the sentences of a grammar: marks, contractions, numbers, capitals, several sentences.
TYPED = """\
the food was cold.
The food was cold! And the waiter wasn't nice; we won't come back...
We waited 20 minutes for a table (and it was only 5:30pm), so I'm not happy.
it's the worst "burger" I've ever had, $12 for that?!
I can't recommend this place to anyone -- not even to my dog.
Mr. Smith said "never again" and left at 9 p.m. on friday.
WORST SERVICE EVER, DON'T GO THERE!!
the kids' menu was awful , and the check-in took for ever .
our room was slightly better than a motel _num_ .
i was n't impressed by joe 's pizza ... it tasted like cardboard
Dirty tables, cold soup, rude staff: what else could go wrong? We'll never be back.
they 're open 24/7 but nobody ever picks up the phone
my wife cannot stand the smell of it , nor can i .
""".splitlines()
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
STILL = {"name": "prefers-reduced-motion", "value": "reduce"}
MEASURED = ["h1", ".hint", ".state", "#go", "del", "ins", ".note", "#shell", "footer", "#answer"]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as any file server does, and yield its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join(SECONDS)


@pytest.fixture(scope="module")
def site(onnxruntime_web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "site"
    write_site(ModelFolder.find(SHIPPED), read_runtime(onnxruntime_web), folder)
    return folder


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with start_browser(tmp_path / "browser") as driver:
        yield driver


def wait(driver: Any, condition: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 5 * SECONDS).until(lambda _: condition())


def text_of(driver: Any, name: str) -> str:
    return str(driver.execute_script("return document.getElementById(arguments[0]).textContent", name))


def ready(driver: Any) -> None:
    wait(driver, lambda: "is ready" in text_of(driver, "state"))


def answers(driver: Any, lines: list[str], to: str) -> list[Any]:
    """Return what the page knows of the answer to each line."""
    script = """
    const [lines, to, done] = arguments, found = [];
    const work = async () => { for (const line of lines) found.push(await model.rewrite(line, to)); };
    work().then(() => done(found), (error) => done(String(error)));
    """
    found: list[Any] = driver.execute_async_script(script, lines, to)
    return found


def errors(driver: Any) -> list[str]:
    return [each["message"] for each in driver.get_log("browser") if each["level"] == "SEVERE"]


def test_two_hundred_lines_are_answered_as_by_the_command_line(browser: Any, site: Path) -> None:
    rewriter = Rewriter.load(SHIPPED, device="cpu", threads=1)
    greedy = DecodingOptions(beam=1, if_unchanged="keep")
    held_out = make_sentences(7, train_lines=1, held_out_lines=50)["test"]
    left = 0
    with served(site) as address:
        browser.get(address)
        ready(browser)
        for to, label in (("positive", "negative"), ("negative", "positive")):
            corpus = held_out[label]
            plain = [line.removesuffix(" .") + "." * (number % 2) for number, line in enumerate(corpus)]
            lines = [*corpus, *plain, *TYPED]
            expected = rewriter.rewrites(lines, to, options=greedy)
            for line, found, answer in zip(lines, answers(browser, lines, to), expected, strict=True):
                notes = [each["note"] or "" for each in found["sentences"]]
                if any("this page" in note for note in notes):
                    left += 1
                    assert "24/7" in line or ":" in line or '"' in line, (line, notes)
                else:
                    assert found["output"] == answer.output, line
        assert errors(browser) == []
        assert hosts(browser) <= {address.split("/")[2], "data", ","}
    assert left <= 4


def test_a_person_rewrites_and_sees_what_was_left(browser: Any, site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    with served(site) as address:
        browser.get(address)
        ready(browser)
        area = browser.find_element("id", "text")
        area.send_keys("The food was cold!\nsee www.example.com for the menu", Keys.CONTROL, Keys.ENTER)
        wait(browser, lambda: text_of(browser, "spoken").startswith("Done: 1 of 2"))
        whole = browser.execute_script("return answerText()")
        first, second = whole.split("\n")
        assert first not in ("The food was cold!", "")
        assert first.endswith("!")
        assert second == "see www.example.com for the menu"
        assert "does not read" in browser.find_element("id", "parts").text
        assert browser.find_elements("css selector", "#answer ins")
        assert "--to positive --beam 1 --if-unchanged keep" in text_of(browser, "shell")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        for scheme in ("light", "dark"):
            # Without motion, so that no color is measured on its way to another.
            features = [STILL, {"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
            ratio = browser.execute_script(CONTRAST, MEASURED)
            assert min(ratio.values()) >= 4.5, ratio


def test_the_page_works_when_its_server_is_gone(browser: Any, site: Path) -> None:
    with served(site) as address:
        browser.get(address)
        ready(browser)
        script = "navigator.serviceWorker.ready.then(() => arguments[0](true))"
        assert browser.execute_async_script(script)
        assert "is ready" in text_of(browser, "state"), "other classes were loaded since"
        online = answers(browser, TYPED, "positive")
    browser.get(address)
    ready(browser)
    assert answers(browser, TYPED, "positive") == online


def test_a_damaged_file_is_said_to_be_damaged(browser: Any, site: Path) -> None:
    encoder = site / "model" / "encoder.int8.onnx"
    content = encoder.read_bytes()
    try:
        encoder.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with served(site) as address:
            browser.get(address)
            wait(browser, lambda: "encoder.int8.onnx on the server is damaged" in text_of(browser, "alert"))
            encoder.unlink()
            browser.get(address)
            wait(browser, lambda: "encoder.int8.onnx is missing on the server" in text_of(browser, "alert"))
    finally:
        encoder.write_bytes(content)
