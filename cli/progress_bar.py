"""Show progress on a terminal: a bar if the total is known, otherwise a line."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class TerminalProgress:
    """Implements `broker.embedded.progress.Progress`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._step = ""

    def __call__(self, step: str, done: float, total: float | None) -> None:
        """Show the progress of a step."""
        if step != self._step:
            self._close()
            self._step = step
            if total is None:
                self._console.print(f"  {step} ...", style="dim")
            else:
                columns = (
                    TextColumn("  {task.description}"),
                    BarColumn(),
                    DownloadColumn(),
                    TransferSpeedColumn(),
                    TimeRemainingColumn(),
                )
                self._bar = Progress(*columns, console=self._console, transient=True)
                self._bar.start()
                self._bar.add_task(step, total=total)
        if self._bar is not None and total is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)
            if done >= total:
                self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
