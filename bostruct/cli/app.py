"""Command line of bostruct."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from signal import SIGINT, SIGTERM
from typing import ParamSpec

import typer

from bostruct.cli import bench, campaign, fronts, uncertainty
from bostruct.errors import BostructError, EvaluationError, ExecutorError
from bostruct.runtime.control_characters import visible_lines
from bostruct.runtime.interruption import TerminationError

P = ParamSpec("P")

typer_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bayesian-optimization structure search.",
    pretty_exceptions_enable=False,
)
uncertainty_app = typer.Typer(no_args_is_help=True, help="Comparison of uncertainty estimates.")
typer_app.add_typer(uncertainty_app, name="uncertainty")


def report_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with one sentence on stderr and an exit code.

    It is 1 where evaluations fail, 2 for what is refused, 128 and the number of the signal after an
    interruption.
    """

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BostructError as error:
            typer.echo(visible_lines(f"bostruct: {error}"), err=True)
            is_refused = not isinstance(error, EvaluationError | ExecutorError)
            raise typer.Exit(2 if is_refused else 1) from error
        except KeyboardInterrupt as error:
            typer.echo("bostruct: interrupted. Run the same command again to go on.", err=True)
            number = SIGTERM if isinstance(error, TerminationError) else SIGINT
            raise typer.Exit(128 + number) from error

    return wrapped


_COMMANDS: tuple[Callable[..., None], ...] = (
    campaign.run,
    campaign.show,
    campaign.report,
    campaign.front,
    campaign.landscape,
    campaign.retry,
    campaign.retract,
    campaign.trust,
    campaign.export,
    campaign.verify,
    bench.bench,
    fronts.fronts,
)
for _command in _COMMANDS:
    typer_app.command()(report_errors(_command))
typer_app.command("list")(report_errors(campaign.list_folder))
uncertainty_app.command()(report_errors(uncertainty.compare))
uncertainty_app.command()(report_errors(uncertainty.data))
uncertainty_app.command()(report_errors(uncertainty.held_out))


def main() -> None:
    """Run the command line."""
    typer_app(prog_name="bostruct")


if __name__ == "__main__":
    main()
