"""The command line: run, show, export, verify, bench, fronts, uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from bostruct.cli import bench as benchmark
from bostruct.cli import campaign, fronts
from bostruct.cli import uncertainty as comparison
from bostruct.errors import BostructError, InputError, error_message

P = ParamSpec("P")

typer_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bayesian-optimization structure search.",
    pretty_exceptions_enable=False,
)

uncertainty_app = typer.Typer(
    no_args_is_help=True, help="Judge uncertainties: which error bars to believe."
)
typer_app.add_typer(uncertainty_app, name="uncertainty")


def report_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with one sentence on stderr and exit code 2, or 130."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BostructError as error:
            typer.echo(f"bostruct: {error}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            message = "bostruct: interrupted. Run the same command again to go on."
            typer.echo(message, err=True)
            raise typer.Exit(130) from error

    return wrapped


for _command in (
    campaign.run,
    campaign.show,
    campaign.front,
    campaign.retract,
    campaign.export,
    campaign.verify,
):
    typer_app.command()(report_errors(_command))


@typer_app.command("bench")
@report_errors
def run_benchmark(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASKS]...",
            help="Names, all, or Python files. [default: lj7 lj13 cu15]",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many, from 0.")] = 20,
    evaluations: Annotated[int, typer.Option(help="A campaign that needs more has failed.")] = 100,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the results.")] = Path(
        "runs/bench"
    ),
    jobs: Annotated[int, typer.Option(help="Runs at the same time, each on one core.")] = 1,
    effort: Annotated[
        list[str] | None,
        typer.Option(
            help="quick, default, thorough, without-MOVE or one of a file; may be repeated."
        ),
    ] = None,
    baseline_evaluations: Annotated[
        int, typer.Option(help="Cap of random search and basin hopping; 0: without.")
    ] = 1000,
    device: Annotated[str, typer.Option(help="Of the tensor work: auto, cpu or cuda.")] = "cpu",
    list_only: Annotated[
        bool, typer.Option("--list", help="Print the named tasks, run nothing.")
    ] = False,
) -> None:
    """Count the energies until the known answer; on the same DIR again, go on."""
    if list_only:
        benchmark.print_tasks()
        return
    options = benchmark.EnergyBenchmarkOptions(
        task_names=tasks or [],
        setting_names=effort or ["default"],
        seeds=seeds,
        evaluations=evaluations,
        baseline_evaluations=baseline_evaluations,
        jobs=jobs,
        device=device,
        out=out,
    )
    benchmark.run_benchmark(options)


typer_app.command("fronts")(report_errors(fronts.run_fronts))


@uncertainty_app.command("compare")
@report_errors
def compare_methods(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Structures with energies and forces: extxyz, ase.db, what ASE reads.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A name, or a Python file of methods; may be repeated. [default: all]"),
    ] = None,
    train: Annotated[int, typer.Option(help="Structures to learn from.")] = 100,
    calibrate: Annotated[int, typer.Option(help="Structures to calibrate with.")] = 100,
    test: Annotated[
        int | None, typer.Option(help="Structures to judge by. [default: the rest]")
    ] = None,
    shifted: Annotated[
        list[Path] | None,
        typer.Option(help="Structures of another kind, a file; may be repeated."),
    ] = None,
    shift: Annotated[
        str,
        typer.Option(
            help="Without such a file, hold out what is highest in energy or largest: "
            "energy, size or none."
        ),
    ] = "energy",
    seed: Annotated[int, typer.Option(help="Of the shuffling.")] = 0,
    splits: Annotated[
        int,
        typer.Option(help="Deal the data out as often, with seed, seed + 1 ..., and fit anew."),
    ] = 1,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the results.")] = Path(
        "runs/uncertainty"
    ),
    list_only: Annotated[
        bool, typer.Option("--list", help="Print the named methods, compare nothing.")
    ] = False,
) -> None:
    """Compare what error bars are worth on DATA; on the same DIR again, go on."""
    if list_only:
        comparison.print_methods()
        return
    if data is None:
        raise InputError(error_message("DATA", "be a file of structures", "nothing"))
    options = comparison.UncertaintyOptions(
        data=data,
        methods=method or [],
        train=train,
        calibrate=calibrate,
        test=test,
        shifted=shifted or [],
        shift=shift,
        seed=seed,
        splits=splits,
        out=out,
    )
    comparison.run_comparison(options)


@uncertainty_app.command("data")
@report_errors
def make_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cu15 or au5cu10.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the files.")] = Path(
        "data"
    ),
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
) -> None:
    """Make labelled clusters to compare on: cold ones, hot ones and large ones."""
    comparison.make_dataset(name, out, seed)


def main() -> None:
    """Run the command line."""
    typer_app(prog_name="bostruct")


if __name__ == "__main__":
    main()
