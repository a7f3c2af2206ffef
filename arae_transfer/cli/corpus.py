"""`arae corpus`: write the corpus that the project makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def corpus(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write SPLIT.CLASS.txt.", show_default=False)
    ],
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed gives other sentences.")] = 0,
) -> None:
    """Write the quickstart's small corpus to a folder.

    Its folder goes to standard output.

    \b
      arae corpus sentences && head -3 sentences/train.negative.txt
    """
    from arae_transfer.corpus.quickstart import write_corpus

    write_corpus(folder, seed)
    typer.echo(folder)
