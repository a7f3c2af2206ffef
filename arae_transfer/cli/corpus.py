"""`arae corpus`: write the synthetic corpus of the quickstart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def corpus(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write SPLIT.CLASS.txt into.", show_default=False)
    ],
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed; another seed gives other sentences.")] = 0,
) -> None:
    """Write the small synthetic corpus of the quickstart.

    Writes the folder's path to standard output.

    \b
      arae corpus sentences && head -3 sentences/train.negative.txt
    """
    from arae_transfer.corpus.quickstart import write_corpus

    write_corpus(folder, seed)
    typer.echo(folder)
