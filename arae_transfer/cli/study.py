"""`arae study`: blind reader studies, made and tallied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from arae_transfer.cli.command import AraeGroup, CommandSource, report
from arae_transfer.cli.options import DeviceOption, QuietOption, ThreadsOption
from arae_transfer.errors import AraeError

SYSTEMS = "Systems"
SHEETS = "Sheets"


class _Study(AraeGroup):
    sources = (
        CommandSource(
            "make", "study.make", "Write blind sheets on which readers rate the rewrites of several systems."
        ),
        CommandSource("tally", "study.tally", "Sum up what readers rated: acceptance, paired tests, agreement."),
    )


study = typer.Typer(
    name="study",
    cls=_Study,
    help="Have people rate rewrites without knowing who wrote them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@study.callback()
def _options() -> None:
    """Make it a group, of which no command is declared here."""


def make(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to write, which must be new or empty.")],
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="SYSTEM",
            help="[NAME=]MODEL, an exported model, which rewrites now; [NAME=]FOLDER with a file PART.txt for each "
            "part; [NAME=]FILE where there is one part; NAME@PART=FILE. Files have a line for each source.",
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[GROUP/][CLASS-to-]CLASS=FILE",
            help="A part of the study: sentences, one a line, to be rewritten to a class; repeatable. GROUP is their "
            "corpus or domain, for the report.",
            rich_help_panel=SHEETS,
        ),
    ] = None,
    items: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sources drawn from each part.", rich_help_panel=SHEETS)
    ] = 40,
    sheets: Annotated[
        int, typer.Option(min=1, metavar="K", help="Sheets that the sources are dealt out to.", rich_help_panel=SHEETS)
    ] = 1,
    shared: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Sources that stand in every sheet, to measure how far readers agree.",
            rich_help_panel=SHEETS,
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="S", help="Another seed draws other sources, in another order.", rich_help_panel=SHEETS
        ),
    ] = 1,
    copy: Annotated[
        bool,
        typer.Option(
            "--copy/--no-copy", help="Have the copied source rated, too, as a measure.", rich_help_panel=SYSTEMS
        ),
    ] = True,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write blind sheets on which readers rate the rewrites of several systems.

    A reader gets STUDY/sheets/sheet-N.html, one page that needs no network, or sheet-N.txt with ratings-N.tsv and
    GUIDE.md. STUDY/key.json tells who wrote what; no reader may see it. Put a good rewrite by a person among the
    systems, so that the study can be compared with others.

    \b
      arae study make first yelp-sentiment human=by-hand/ --sources negative-to-positive=test.negative.txt
      arae study make second ours=a.txt theirs=b.txt --sources positive=test.negative.txt --sheets 4 --shared 5
    """
    if not sources:
        raise AraeError(
            "there is nothing to rewrite: --sources is missing",
            "write --sources CLASS=FILE, the class to rewrite to and a file of sentences, one a line.",
        )
    from arae_transfer.cli.status import status
    from arae_transfer.studies.drawing import make_study
    from arae_transfer.studies.rewrites import COPY, Copy, find_systems, read_sources
    from arae_transfer.studies.sheets import check_place, write_study
    from arae_transfer.studies.study import StudyLayout

    check_place(folder)
    read = read_sources(sources)
    found = find_systems(systems, read, device=device, threads=threads)
    with status(quiet) as progress:
        made = make_study(
            read,
            found | ({COPY: Copy()} if copy else {}),
            items=items,
            sheets=sheets,
            shared=shared,
            seed=seed,
            progress=progress,
        )
    write_study(made, folder)
    if quiet:
        return
    for part in read:
        drawn = sum(item.part == part.part for item in made.items.values())
        if drawn < items:
            report(f"{part.path} has {drawn:,} different sentences, fewer than {items:,}")
    layout = StudyLayout(folder)
    report(f"{len(made.items):,} sources, {made.candidates:,} candidates, {sheets} sheet{'s' * (sheets != 1)}")
    report(f"readers get {layout.sheets}; their ratings go to {layout.ratings}; then: arae study tally {folder}")


def tally(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder that `arae study make` wrote.")],
    ratings: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RATINGS",
            help="Readers' .tsv files, or folders of them; without this, those in STUDY/ratings.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The system that the others are tested against; without this, the first."),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="An automatic score, whose correlation with the ratings is wanted: item, letter and score a line, or "
            "a score for each candidate of STUDY/candidates.tsv; repeatable.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the rated candidates with their systems and mean ratings there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object instead of tables.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Sum up what readers rated: acceptance, paired tests, agreement.

    A candidate that several systems wrote counts for each of them; where several readers rated it, their mean counts.

    \b
      arae study tally first
      arae study tally first --base human --scores estimator=scores.txt --json
    """
    from arae_transfer.atomic import write_text
    from arae_transfer.layout import expanded
    from arae_transfer.studies.ratings import find_ratings, read_ratings
    from arae_transfer.studies.study import Study
    from arae_transfer.studies.tally import rated_table, read_scores
    from arae_transfer.studies.tally import tally as sum_up
    from arae_transfer.studies.tally_report import problems, render_tally

    made = Study.read(folder)
    read = read_ratings(made, find_ratings(folder, ratings or []))
    automatic = {}
    for value in scores or []:
        name, equals, path = value.partition("=")
        if not name or not equals or not path:
            raise AraeError(f"--scores {value} does not name a score and a file", "write --scores NAME=FILE.")
        automatic[name] = read_scores(made, expanded(path))
    data = sum_up(made, read, base=base, scores=automatic)
    if not quiet:
        for line in problems(data):
            report(line)
    if table is not None:
        write_text(table, rated_table(made, read))
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2) if as_json else render_tally(data), nl=as_json)
