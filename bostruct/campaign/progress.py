"""The progress line: one line on a terminal while a campaign runs, else nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from bostruct.campaign.stop import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


@final
class Line:
    """A line on stderr that is gone when the run ends.

    Args:
        shown: Whether to show it; None shows it on a terminal.
        console: Where to show it.
    """

    def __init__(
        self, shown: bool | None = None, console: Console | None = None
    ) -> None:
        # Imported here: a campaign that is only described needs no terminal.
        from rich.console import Console
        from rich.status import Status

        self._console = console or Console(stderr=True)
        wanted = self._console.is_terminal if shown is None else shown
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

    def show(self, progress: Progress, room: int | None) -> None:
        """Show where the campaign is."""
        if self._status is not None:
            self._status.update(text(progress, room))


def text(progress: Progress, room: int | None) -> str:
    """Return the line.

    >>> text(Progress((2.0, None, 1.5), 60.0), 7)
    '3 of 10 evaluations (1 failed), best 1.5000 eV at 3, 60 s'
    """
    count = len(progress.energies)
    total = "" if room is None else f" of {count + room}"
    lost = progress.energies.count(None)
    parts = f"{count}{total} evaluations"
    if lost:
        parts += f" ({lost} failed)"
    best = progress.best
    if progress.stood is not None:
        now = progress.stood(count)
        parts += f", front {now.front}, feasible {now.feasible}, "
        parts += f"hypervolume {now.hypervolume:.4g}"
    elif best is not None:
        parts += f", best {progress.energies[best]:.4f} eV at {best + 1}"
    return f"{parts}, {progress.seconds:.0f} s"
