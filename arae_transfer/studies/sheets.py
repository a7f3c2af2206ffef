"""Files for readers: each sheet as a web page and as text, the guide, and an empty table."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from arae_transfer.atomic import explain_write_failure, replace_directory
from arae_transfer.errors import AraeError
from arae_transfer.studies.study import SCALES, Item, Study, StudyLayout

GUIDE = {
    "style": "Does the whole text express the wanted style? 5 clearly and throughout, 3 mixed or unclear, "
    "1 still the other style.",
    "content": "Does it keep what the source talks about, the style apart? 5 everything, 3 a part, 1 something else. "
    "A copy keeps everything.",
    "fluency": "Is it natural, grammatical, sensible language that a person could have written? 5 natural, 3 clumsy, "
    "1 broken or nonsense. Lower case and separated punctuation do not matter.",
    "overall": "As an answer to “rewrite this in the wanted style, keep the rest, stay natural”: 5 accept as it is, "
    "4 a small flaw, 3 half usable, 2 poor, 1 useless (the old style, a copy, nonsense).",
}
"""What each scale asks. The scales are those of published human ratings of style transfer."""

ADVICE = (
    "Rate every candidate by reading it, from 1 to 5; halves are allowed. Be strict and even-handed. Favour neither "
    "length nor bluntness nor closeness to the source."
)
NOTHING = "(no text)"
"""Text in a sheet for an empty rewrite."""
NOT_RATED = "-"

_TEMPLATE = Path(__file__).with_name("page.html")


def guide() -> str:
    """Return the guide as Markdown."""
    scales = "".join(f"- **{name}**: {question}\n" for name, question in GUIDE.items())
    columns = " TAB ".join(("item", "letter", *SCALES))
    return (
        f"# How to rate\n\n{ADVICE}\n\n{scales}\n"
        f"On the page, press the buttons, then “Download ratings”. With the text sheet, fill in the ratings file that "
        f"belongs to it, one candidate a line: {columns}. A candidate without a rating keeps `{NOT_RATED}`.\n"
    )


def text_sheet(study: Study, number: int) -> str:
    """Return a sheet as text."""
    blocks = [f"# Sheet {number} of {study.sheets}, study {study.identity}. The scales are in GUIDE.md.\n"]
    for name, item in study.sheet(number).items():
        lines = [f"## {name}  rewrite to: {item.part.target}", f"SOURCE: {item.source}"]
        lines += [f"{letter}: {each.text or NOTHING}" for letter, each in item.candidates.items()]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def empty_ratings(study: Study, number: int) -> str:
    """Return the empty ratings table of a text sheet."""
    head = f"# study: {study.identity}\n# sheet: {number}\n# reader: \n"
    rows = ["\t".join(("item", "letter", *SCALES))]
    for name, item in study.sheet(number).items():
        rows += ["\t".join((name, letter, *[NOT_RATED] * len(SCALES))) for letter in item.candidates]
    return head + "".join(f"{row}\n" for row in rows)


def candidate_table(study: Study) -> str:
    """Return all candidates as a table without the systems, for scoring programs."""
    rows = ["item\tletter\tto\tsource\tcandidate"]
    for name, item in study.items.items():
        rows += [
            f"{name}\t{letter}\t{item.part.target}\t{item.source}\t{each.text}"
            for letter, each in item.candidates.items()
        ]
    return "".join(f"{row}\n" for row in rows)


def page(study: Study, number: int) -> str:
    """Return a sheet as a self-contained web page without network access.

    Its content security policy allows the page's own script and style, named by their hashes, and nothing else.
    """
    content: dict[str, Any] = {
        "study": study.identity,
        "sheet": number,
        "sheets": study.sheets,
        "advice": ADVICE,
        "nothing": NOTHING,
        "scales": [{"name": name, "question": GUIDE[name]} for name in SCALES],
        "items": [_page_item(name, item) for name, item in study.sheet(number).items()],
    }
    # Inside a script element only "<" can end it; the escape means the same to JSON.
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    template = _TEMPLATE.read_text("utf-8")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash_of(template, 'style')}",
            f"script-src {_hash_of(template, 'script')}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return template.replace("@POLICY@", policy, 1).replace("@DATA@", data, 1)


def _page_item(name: str, item: Item) -> dict[str, Any]:
    candidates = [[letter, each.text] for letter, each in item.candidates.items()]
    return {"name": name, "to": item.part.target, "source": item.source, "candidates": candidates}


def _hash_of(template: str, element: str) -> str:
    """Return the hash of the template's style or script for the content security policy."""
    found = re.search(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no {element}")
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def write_study(study: Study, root: Path) -> None:
    """Write all files of a study; the folder appears when it is complete.

    Raises:
        AraeError: The folder holds something already, or it cannot be written.
    """
    check_place(root)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as temporary:
            staged = StudyLayout(Path(temporary) / root.name)
            for folder in (staged.sheets, staged.ratings):
                folder.mkdir(parents=True)
            _write(staged.key, study.to_json())
            _write(staged.candidates, candidate_table(study))
            _write(staged.guide, guide())
            for number in range(1, study.sheets + 1):
                _write(staged.text(number), text_sheet(study, number))
                _write(staged.form(number), empty_ratings(study, number))
                _write(staged.page(number), page(study, number))
            replace_directory(staged.root, root)
    except OSError as error:
        raise explain_write_failure(root, error) from error


def check_place(root: Path) -> None:
    """Verify that a study can be written to a folder without overwriting anything.

    Raises:
        AraeError: The folder is not empty, or is no folder.
    """
    try:
        taken = root.is_file() or (root.is_dir() and any(root.iterdir()))
    except OSError as error:
        raise explain_write_failure(root, error) from error
    if taken:
        raise AraeError(f"{root} exists and is not empty", "give a new folder, so that no rating is lost.")


def _write(path: Path, text: str) -> None:
    # As bytes: line feeds stay line feeds on every system, and a text that is no valid Unicode is still written.
    path.write_bytes(text.encode("utf-8", "replace"))
