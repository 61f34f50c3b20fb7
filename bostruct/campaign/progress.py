"""Progress of a running campaign on stderr: a line on a terminal, several in a batch job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self, final

from bostruct.campaign.enthalpy import PRESSURE_ENERGY, enthalpy_of
from bostruct.campaign.records import Trial
from bostruct.campaign.stop import Progress
from bostruct.evaluators import Evaluation, Failure
from bostruct.runtime.control_characters import visible_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


@final
class ProgressLine:
    """Line on a terminal that is removed when the run ends; elsewhere one for each evaluation.

    Args:
        visible: False to show nothing.
        console: Console of the line, stderr by default.
    """

    def __init__(self, visible: bool | None = None, console: Console | None = None) -> None:
        # Imported here: a campaign that is only described needs no terminal.
        from rich.console import Console
        from rich.status import Status

        console = console or Console(stderr=True)
        self._status: Status | None = None
        self._log: Console | None = None
        if visible is None or visible:
            if console.is_terminal:
                self._status = Status("starting", console=console)
            else:
                self._log = console
        self._n_evaluations = 0
        self._energies: list[float] | None = []  # None with objectives, or with a hull

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(
        self, progress: Progress, remaining: int | None, best_name: Callable[[], str] = str
    ) -> None:
        """Show the progress of the campaign.

        Args:
            progress: Progress of the run.
            remaining: Number of evaluations that may still be started, None for any number.
            best_name: Function that returns the name of the best structure, "" without one.
        """
        from rich.markup import escape

        if self._status is not None:
            text = progress_text(progress, remaining, best_name())
            self._status.update(escape(visible_text(text)))
        self._n_evaluations = len(progress.energies)
        energies = (*progress.energies, progress.lowest_initial_energy)
        has_no_lowest = progress.front_history is not None or progress.has_hull
        self._energies = None if has_no_lowest else [e for e in energies if e is not None]

    def add_result(
        self, trial: Trial, result: Evaluation | Failure, doubt: str = "", is_retried: bool = False
    ) -> None:
        """Show the result of a trial, where there is no terminal.

        Args:
            trial: Trial before its evaluation.
            result: Result of the evaluation.
            doubt: Reason for which the result is doubted; "" without a doubt.
            is_retried: True for a failure after which there is another attempt.
        """
        self._n_evaluations += 1
        energy = enthalpy_of(result) if isinstance(result, Evaluation) and not doubt else None
        if energy is not None and self._energies is not None:
            self._energies.append(energy)
        if self._log is None:
            return
        lowest = min(self._energies or (), default=None)
        text = result_text(trial, result, lowest, doubt, is_retried)
        print(
            visible_text(f"evaluation {self._n_evaluations}, {text}"),
            file=self._log.file,
            flush=True,
        )


def result_text(
    trial: Trial,
    result: Evaluation | Failure,
    lowest_energy: float | None,
    doubt: str = "",
    is_retried: bool = False,
) -> str:
    """Return the text of one result.

    Args:
        trial: Trial before its evaluation.
        result: Result of the evaluation.
        lowest_energy: Lowest energy or enthalpy so far, eV; None without one.
        doubt: Reason for which the result is doubted; "" without a doubt.
        is_retried: True for a failure after which there is another attempt.
    """
    text = f"trial {trial.number}, "
    if isinstance(result, Failure):
        again = "failed, evaluated again" if is_retried else "failed"
        text += f"{again}: {result.reason}"
    else:
        values = [] if result.energy is None else [f"{result.energy:.6f} eV"]
        properties = dict(result.properties)
        if properties.pop(PRESSURE_ENERGY, None) is not None:
            values += [f"enthalpy {enthalpy_of(result):.6f} eV"]
        values += [f"{name} {value:.6g}" for name, value in properties.items()]
        values += [f"doubted: {doubt}"] if doubt else []
        text += ", ".join(values)
    return text if lowest_energy is None else f"{text}; best {lowest_energy:.6f} eV"


def progress_text(progress: Progress, remaining: int | None, best_name: str = "") -> str:
    """Return the text of the progress line.

    >>> progress_text(Progress((2.0, None, 1.5), 60.0, n_failed=1), 7)
    '3 of 10 evaluations (1 failed), best 1.5000 eV at 3, 60 s'
    >>> progress_text(Progress((2.0, None, 1.5), 60.0, n_failed=1), 7, "mp-30")
    '3 of 10 evaluations (1 failed), best 1.5000 eV at 3 (mp-30), 60 s'
    """
    count = len(progress.energies)
    total = "" if remaining is None else f" of {count + remaining}"
    failed = f" ({progress.n_failed} failed)" if progress.n_failed else ""
    text = f"{count}{total} evaluations{failed}"
    best = progress.best_index
    if progress.front_history is not None:
        front = progress.front_history(count)
        text += f", front {front.n_front}, feasible {front.n_feasible}, "
        text += f"hypervolume {front.hypervolume:.4g}"
    elif best is not None and progress.has_hull:
        text += f", hull lowered last at {best + 1}"
    elif best is not None:
        text += f", best {progress.energies[best]:.4f} eV at {best + 1}"
        text += f" ({best_name})" if best_name else ""
    return f"{text}, {progress.seconds:.0f} s"
