"""`arae study`: make blind reader studies and sum them up."""

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
        CommandSource("tally", "study.tally", "Sum up readers' ratings: acceptance, paired tests, agreement."),
    )


study = typer.Typer(
    name="study",
    cls=_Study,
    help="Have people rate rewrites blindly, and sum up their ratings.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@study.callback()
def _options() -> None:
    """Make this a group; its commands are declared elsewhere."""


def make(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder to write; it must be new or empty.")],
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="SYSTEM",
            help=(
                "System to rate. [NAME=]MODEL is an exported model, which rewrites now. [NAME=]FOLDER has a "
                "file PART.txt of rewrites per part. [NAME=]FILE holds the rewrites of the only part, "
                "NAME@PART=FILE those of one part. Files have one rewrite per source line."
            ),
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[GROUP/][CLASS-to-]CLASS=FILE",
            help=(
                "Part of the study: a file of sentences, one per line, and the class to rewrite them to; "
                "repeatable. GROUP names their corpus or domain in the report."
            ),
            rich_help_panel=SHEETS,
        ),
    ] = None,
    items: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of sources to draw from each part.", rich_help_panel=SHEETS)
    ] = 40,
    sheets: Annotated[
        int,
        typer.Option(
            min=1, metavar="K", help="Number of sheets to distribute the sources over.", rich_help_panel=SHEETS
        ),
    ] = 1,
    shared: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Number of sources on every sheet, to measure agreement between readers.",
            rich_help_panel=SHEETS,
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="S", help="Random seed for the choice and order of sources.", rich_help_panel=SHEETS
        ),
    ] = 1,
    copy: Annotated[
        bool,
        typer.Option(
            "--copy/--no-copy", help="Also have the copied source rated, as a baseline.", rich_help_panel=SYSTEMS
        ),
    ] = True,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write blind sheets on which readers rate the rewrites of several systems.

    Each reader gets STUDY/sheets/sheet-N.html, an offline page, or sheet-N.txt with ratings-N.tsv and GUIDE.md.
    STUDY/key.json maps candidates to systems; readers must not see it. Include a good human rewrite as a system, so
    that studies can be compared.

    \b
      arae study make first yelp-sentiment human=by-hand/ --sources negative-to-positive=test.negative.txt
      arae study make second ours=a.txt theirs=b.txt --sources positive=test.negative.txt --sheets 4 --shared 5
    """
    if not sources:
        raise AraeError(
            "--sources is missing",
            "write --sources CLASS=FILE: the target class, and a file of one sentence per line.",
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
            report(f"{part.path} has only {drawn:,} different sentences, fewer than {items:,}")
    layout = StudyLayout(folder)
    report(f"{len(made.items):,} sources, {made.candidates:,} candidates, {sheets} sheet{'s' * (sheets != 1)}")
    report(
        f"give readers {layout.sheets}; collect their ratings in {layout.ratings}; then run: arae study tally {folder}"
    )


def tally(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder that `arae study make` wrote.")],
    ratings: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RATINGS",
            help="Readers' .tsv files, or folders of them. Default: those in STUDY/ratings.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="System to test the others against. Default: the first."),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help=(
                "Automatic score to correlate with the ratings: lines of item, letter and score, or one score "
                "per candidate of STUDY/candidates.tsv; repeatable."
            ),
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File to write the rated candidates to, with their systems and mean ratings."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object instead of tables.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Sum up readers' ratings: acceptance, paired tests, agreement.

    A candidate of several systems counts for each of them. Several readers' ratings of a candidate are averaged.

    \b
      arae study tally first
      arae study tally first --base human --scores estimator=scores.txt --json
    """
    from arae_transfer.atomic import write_text
    from arae_transfer.folders import expanded
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
