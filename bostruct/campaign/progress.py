"""The progress line: one line on a terminal while a campaign runs, else nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from bostruct.campaign.stop import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


@final
class ProgressLine:
    """A line on stderr that is gone when the run ends.

    Args:
        visible: Whether to show it; None shows it on a terminal.
        console: Where to show it.
    """

    def __init__(self, visible: bool | None = None, console: Console | None = None) -> None:
        # Imported here: a campaign that is only described needs no terminal.
        from rich.console import Console
        from rich.status import Status

        self._console = console or Console(stderr=True)
        wanted = self._console.is_terminal if visible is None else visible
        self._status: Status | None = None
        if wanted:
            self._status = Status("starting", console=self._console)

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, progress: Progress, remaining: int | None) -> None:
        """Show where the campaign is."""
        if self._status is not None:
            self._status.update(progress_text(progress, remaining))


def progress_text(progress: Progress, remaining: int | None) -> str:
    """Return the line.

    >>> text(Progress((2.0, None, 1.5), 60.0), 7)
    '3 of 10 evaluations (1 failed), best 1.5000 eV at 3, 60 s'
    """
    count = len(progress.energies)
    total = "" if remaining is None else f" of {count + remaining}"
    lost = progress.energies.count(None)
    parts = f"{count}{total} evaluations"
    if lost:
        parts += f" ({lost} failed)"
    best = progress.best_index
    if progress.front_history is not None:
        now = progress.front_history(count)
        parts += f", front {now.n_front}, feasible {now.n_feasible}, "
        parts += f"hypervolume {now.hypervolume:.4g}"
    elif best is not None:
        parts += f", best {progress.energies[best]:.4f} eV at {best + 1}"
    return f"{parts}, {progress.seconds:.0f} s"
