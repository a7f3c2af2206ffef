"""The options of `arae transfer`, and what they mean together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arae_transfer.cli.lines import quick_start
from arae_transfer.cli.options import INPUT_AND_OUTPUT, MESSAGES, MODEL, complete_class
from arae_transfer.errors import AraeError
from arae_transfer.runtime.options import LONG, Ranking

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions

CANDIDATES = "Candidates"
PARTS = "Many rows: tables in parts, -o FOLDER/"

FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE",
        help=(
            "Text files with one sentence per line, documents (see --format) or tables. Default, or '-': "
            "standard input."
        ),
        rich_help_panel=INPUT_AND_OUTPUT,
        show_default=False,
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        "-t",
        metavar="CLASS",
        help="Target class, or the start of its name.",
        autocompletion=complete_class,
        rich_help_panel=MODEL,
    ),
]
LongOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(LONG),
        help=(
            "How to treat long lines. split: rewrite each sentence, and split what the model cannot read "
            "at once; keep: leave lines unchanged that are too long; truncate: drop the excess."
        ),
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
ProtectOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REGEX",
        help=(
            "Keep text that matches this regular expression, such as 'JIRA-[0-9]+'; repeatable. Numbers, "
            "addresses, tags and code are always kept."
        ),
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
GlossaryOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Text file of terms to keep, such as product names, one per line.",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="text|markdown|html|srt|csv:COLUMN|jsonl:FIELD",
        help=(
            "Format of the documents: only their text is rewritten. Default: by the file extension (.md, "
            ".html, .srt, .vtt; .csv, .tsv and .jsonl with --column), else lines of text."
        ),
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Column of a table that holds the text: its name, its number, or a field (a.b is b inside a).",
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER/",
        help=(
            "Write to this file, which appears when it is complete. Several documents, and tables in parts "
            "(see below), need a folder."
        ),
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
TsvOption = Annotated[
    bool,
    typer.Option("--tsv", help="Write source, tab and answer on each line.", rich_help_panel=INPUT_AND_OUTPUT),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help=(
            "Write one JSON object per line. Fields: source, output, to, tokens, truncated, unfinished, "
            "status, pieces, kept, unfaithful, unread, repaired; with a search, candidates with their "
            "scores, and unsure; with --from, from and already; from a model that edits, keep, the "
            "probability that the line needs no change."
        ),
        rich_help_panel=INPUT_AND_OUTPUT,
    ),
]
BeamOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Search with a beam of N hypotheses and answer with the best one; 1 is greedy decoding.",
        rich_help_panel=CANDIDATES,
    ),
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="K",
        help="Draw K random samples instead, and answer with the best one.",
        rich_help_panel=CANDIDATES,
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="Temperature of --sample: lower is closer to the most probable rewrite.  [default: 1]",
        rich_help_panel=CANDIDATES,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="S",
        help="Random seed of --sample; samples depend only on the seed and the line.  [default: 0]",
        rich_help_panel=CANDIDATES,
    ),
]
NBestOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="K",
        help="With --json: write the K best candidates of each line. Default: all.",
        rich_help_panel=CANDIDATES,
    ),
]
RerankOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=WEIGHT,...",
        help=(
            "Weights of the scores that rank candidates: style, fluency, content, language, quality; scores that you "
            f"leave out count nothing.  [default: the model's, or {Ranking()}]"
        ),
        rich_help_panel=CANDIDATES,
    ),
]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help=(
            "Leave a line unchanged if the confidence in its best candidate is below P: the probability that a reader "
            "accepts it, or, if the model has no quality estimator, that it has the target style."
        ),
        rich_help_panel=CANDIDATES,
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="auto",
        help=(
            "Class of the input; auto: classify each line, and leave lines unchanged that are in the "
            "target class already."
        ),
        rich_help_panel=MODEL,
    ),
]
IfAlreadyOption = Annotated[
    str | None,
    typer.Option(
        metavar="keep|rewrite",
        help=(
            "With --from auto: leave lines unchanged that are in the target class already, or rewrite "
            "them.  [default: keep]"
        ),
        rich_help_panel=MODEL,
    ),
]
IfUnchangedOption = Annotated[
    str | None,
    typer.Option(
        metavar="search|keep",
        help=(
            "If greedy decoding copies the line: search a small beam for a hypothesis in the target class, "
            "or keep the line. Implies --beam 1.  [default: search, if the model has a classifier]"
        ),
        rich_help_panel=MODEL,
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        metavar="local|ray",
        help="What runs the work: processes on this machine, or a Ray cluster.  [default: local]",
        rich_help_panel=PARTS,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of parts to rewrite at the same time. Default: as many as the CPU cores allow.",
        rich_help_panel=PARTS,
    ),
]
ThreadsPerWorkerOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="CPU threads per worker.  [default: 1]", rich_help_panel=PARTS),
]
RowsPerPartOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Maximum number of rows per part.  [default: 100,000]", rich_help_panel=PARTS
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue a job in the same folder: keep finished parts and rewrite the rest.",
        rich_help_panel=PARTS,
    ),
]
OnErrorOption = Annotated[
    str | None,
    typer.Option(
        metavar="keep|fail",
        help="Rows without a text: keep them and record the problem, or stop the job.  [default: keep]",
        rich_help_panel=PARTS,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help=(
            "With --engine ray: address of the cluster, such as auto or ray://HOST:10001. All its machines "
            "must see the files. Default: start Ray on this machine."
        ),
        rich_help_panel=PARTS,
    ),
]
CopyAboveOption = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help=(
            "With a model that edits: leave a line unchanged if it needs no change with a probability "
            "above P.  [default: the model's own]"
        ),
        rich_help_panel=CANDIDATES,
    ),
]
ListModelsOption = Annotated[
    bool,
    typer.Option("--list-models", help="List the models: name, classes, folder.", rich_help_panel=MODEL),
]
ListClassesOption = Annotated[
    bool, typer.Option("--list-classes", help="List the model's classes.", rich_help_panel=MODEL)
]
VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Report the device and the speed.", rich_help_panel=MESSAGES),
]


def decoding_options(**given: Any) -> DecodingOptions:  # noqa: ANN401 -- the fields of DecodingOptions, each of its type
    """Return the decoding options, with defaults for those not given.

    Args:
        given: The fields of ``DecodingOptions``, but ``ranking`` as ``--rerank`` takes it.

    Raises:
        AraeError: A value is out of range, or two do not go together.
    """
    with quick_start():
        from arae_transfer.runtime.decoding import DecodingOptions

    said = {name: value for name, value in given.items() if value is not None}
    if "ranking" in said:
        said["ranking"] = Ranking.parse(said["ranking"])
    if "if_unchanged" in said and not {"beam", "sample", "n_best"} & set(said):
        said["beam"] = 1  # it is about the one greedy rewrite
    return DecodingOptions(**said)


def read_glossary(path: Path | None) -> list[str]:
    """Return the terms of a file, one per line, without blank lines.

    Raises:
        AraeError: The file cannot be read.
    """
    if path is None:
        return []
    try:
        return path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise AraeError(
            f"cannot read the glossary {path}: {error.strerror or error}", "give a text file with one term per line."
        ) from error
    except UnicodeDecodeError as error:
        raise AraeError(f"the glossary {path} is not UTF-8: {error.reason}", "save it as UTF-8 text.") from error
