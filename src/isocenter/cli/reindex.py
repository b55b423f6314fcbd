"""`isocenter reindex`: search learns the attributes that the settings name."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isocenter.archive.reindex import reindex as index_anew
from isocenter.bootstrap.backends import open_backends
from isocenter.settings import load


def reindex(home: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None) -> None:
    """Index every image anew by the setting search_attributes, while servers go on.

    Restart the servers with the new setting first, so that what comes in meanwhile is indexed by it too.
    """
    settings = load(home=home)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with closing(open_backends(settings)) as backends, Progress(*columns, console=console) as progress:
        task = progress.add_task("reindex", total=None)
        done = index_anew(backends.platform, settings.searched, lambda n: progress.update(task, completed=n))
    console.print(
        f"{done} images indexed by {len(settings.searched)} attributes besides the standard's", highlight=False
    )
