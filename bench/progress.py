"""What is being done and how far it has come, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Steps:
    """A bar of steps. It draws only when told to: with a thread beside it clients could not be forked."""

    def __init__(self, console: Console, count: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._console = console
        self._progress = Progress(*columns, console=console, auto_refresh=False)
        self._task = self._progress.add_task("", total=count)
        self._progress.start()

    def say(self, text: str) -> None:
        """What goes on now."""
        if self._console.is_terminal:
            self._progress.update(self._task, description=text)
            self._progress.refresh()
        else:
            self._console.print(text, highlight=False)

    def sent(self, server: str, what: str) -> None:
        self.say(f"{server} is sent {what}")

    def done(self, count: int = 1) -> None:
        self._progress.advance(self._task, count)
        if self._console.is_terminal:
            self._progress.refresh()

    def end(self) -> None:
        self._progress.stop()
