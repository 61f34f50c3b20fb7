"""Progress line of a running campaign on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from bostruct.campaign.stop import Progress
from bostruct.runtime.control_characters import visible_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


@final
class ProgressLine:
    """Line on stderr that is removed when the run ends.

    Args:
        visible: True to show the line, False to hide it; None shows it on a terminal.
        console: Console of the line, stderr by default.
    """

    def __init__(self, visible: bool | None = None, console: Console | None = None) -> None:
        # Imported here: a campaign that is only described needs no terminal.
        from rich.console import Console
        from rich.status import Status

        console = console or Console(stderr=True)
        visible = console.is_terminal if visible is None else visible
        self._status: Status | None = Status("starting", console=console) if visible else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, progress: Progress, remaining: int | None) -> None:
        """Show the progress of the campaign."""
        from rich.markup import escape

        if self._status is not None:
            self._status.update(escape(visible_text(progress_text(progress, remaining))))


def progress_text(progress: Progress, remaining: int | None) -> str:
    """Return the text of the progress line.

    >>> progress_text(Progress((2.0, None, 1.5), 60.0), 7)
    '3 of 10 evaluations (1 failed), best 1.5000 eV at 3, 60 s'
    """
    count = len(progress.energies)
    total = "" if remaining is None else f" of {count + remaining}"
    n_failed = progress.energies.count(None)
    text = f"{count}{total} evaluations" + (f" ({n_failed} failed)" if n_failed else "")
    best = progress.best_index
    if progress.front_history is not None:
        front = progress.front_history(count)
        text += f", front {front.n_front}, feasible {front.n_feasible}, "
        text += f"hypervolume {front.hypervolume:.4g}"
    elif best is not None:
        text += f", best {progress.energies[best]:.4f} eV at {best + 1}"
    return f"{text}, {progress.seconds:.0f} s"
