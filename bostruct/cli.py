"""The command line: run, show, export, verify, bench, fronts, uncertainty."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from bostruct.bench import command, frontier
from bostruct.campaign import atoms, board, file, retraction, stop
from bostruct.campaign import show as text
from bostruct.campaign.log import Log
from bostruct.campaign.publish import publish
from bostruct.campaign.rebuild import reopen
from bostruct.campaign.summary import summary
from bostruct.campaign.verify import verify as check
from bostruct.compare import command as comparison
from bostruct.errors import BostructError, InputError, LogError, check_count, must

P = ParamSpec("P")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bayesian-optimization structure search.",
    pretty_exceptions_enable=False,
)

uncertainty = typer.Typer(
    no_args_is_help=True, help="Judge uncertainties: which error bars to believe."
)
app.add_typer(uncertainty, name="uncertainty")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The run folder.")]

CampaignFile = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Its campaign file, for parts of your own."
    ),
]


def sentence(command: Callable[P, None]) -> Callable[P, None]:
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


@app.command()
@sentence
def run(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A campaign file.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The run folder. [default: runs/FILE-SEED]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of all that is random. [default: that of the folder, or 0]"),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(help="Stop after so many, instead of what the file says."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Of the tensor work: auto, cpu or cuda.")
    ] = "auto",
) -> None:
    """Run the campaign in FILE; on the same folder again, resume it."""
    if evaluations is not None:
        check_count("evaluations", evaluations)
    campaign = file.load(path)
    if seed is None:
        seed = _seed(folder)
    if folder is None:
        folder = Path("runs") / f"{path.stem}-{seed}"
    rule = campaign.stop
    if evaluations is not None:
        rule = stop.limit(rule, evaluations)
    log = campaign.run(folder, seed, device, stop=rule)
    typer.echo(text.ending(summary(log)))


@app.command()
@sentence
def show(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where the campaign in DIR stands."""
    found = summary(reopen(folder))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1))
    else:
        typer.echo(text.show(found))


@app.command()
@sentence
def front(
    folder: Folder,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write tables, structures and pictures there."
        ),
    ] = None,
    path: CampaignFile = None,
) -> None:
    """Print the Pareto front of the campaign in DIR, and with --out write it."""
    log = reopen(folder) if path is None else file.load(path).read(folder)
    found = log.front()
    names = atoms.formulas(log, [point.trial for point in found.points])
    heights = atoms.above_hull(log)
    for line in board.front(found, names, heights):
        typer.echo(line)
    if out is not None:
        written = publish(log, out, heights)
        typer.echo(f"{out}: {', '.join(written)}")


@app.command()
@sentence
def retract(
    folder: Folder,
    trial: Annotated[
        int, typer.Argument(metavar="TRIAL", help="Its number, as `show` prints it.")
    ],
    reason: Annotated[str, typer.Option(help="One sentence for who reads the log.")],
) -> None:
    """Take back what TRIAL found: nothing is learnt from it any more."""
    retraction.retract(folder, trial, reason)
    typer.echo(f"{folder}: trial {trial} is retracted, {reason}")


@app.command()
@sentence
def export(
    folder: Folder,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The suffix says the format.")
    ],
    every: Annotated[
        bool, typer.Option("--all", help="All that was evaluated, not the best alone.")
    ] = False,
) -> None:
    """Write the best structure in DIR, or its front, to OUT in any format of ASE."""
    log = Log(folder)
    images = atoms.images(log, every)
    atoms.export(images, out)
    count = f"{len(images)} structures" if every else "the best structure"
    if log.goals is not None and not every:
        count = f"the {len(images)} structures on the front"
    typer.echo(f"{out}: {count} of {folder}")


@app.command()
@sentence
def verify(
    folder: Folder,
    path: CampaignFile = None,
) -> None:
    """Read the log in DIR again and compare every posterior with what it was."""
    log = reopen(folder) if path is None else file.load(path).read(folder)
    verdict = check(log)
    for problem in (*verdict.problems, *verdict.skipped):
        typer.echo(problem, err=True)
    typer.echo(
        f"{folder}: {verdict.trials} trials and {verdict.posteriors} posteriors read, "
        f"{verdict.rebuilt} rebuilt and compared, {len(verdict.problems)} problems"
    )
    if not verdict.good:
        raise typer.Exit(1)


@app.command()
@sentence
def bench(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASKS]...",
            help="Names, all, or Python files. [default: lj7 lj13 cu15]",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many, from 0.")] = 20,
    evaluations: Annotated[
        int, typer.Option(help="A campaign that needs more has failed.")
    ] = 100,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the results.")
    ] = Path("runs/bench"),
    jobs: Annotated[
        int, typer.Option(help="Runs at the same time, each on one core.")
    ] = 1,
    effort: Annotated[
        list[str] | None,
        typer.Option(
            help="quick, default, thorough, without-MOVE or one of a file; "
            "may be repeated."
        ),
    ] = None,
    baseline_evaluations: Annotated[
        int, typer.Option(help="Cap of random search and basin hopping; 0: without.")
    ] = 1000,
    device: Annotated[
        str, typer.Option(help="Of the tensor work: auto, cpu or cuda.")
    ] = "cpu",
    names: Annotated[
        bool, typer.Option("--list", help="Print the named tasks, run nothing.")
    ] = False,
) -> None:
    """Count the energies until the known answer; on the same DIR again, go on."""
    if names:
        command.show()
        return
    options = command.Options(
        words=tasks or [],
        efforts=effort or ["default"],
        seeds=seeds,
        evaluations=evaluations,
        baseline_evaluations=baseline_evaluations,
        jobs=jobs,
        device=device,
        out=out,
    )
    command.run(options)


app.command("fronts")(sentence(frontier.run))


@uncertainty.command()
@sentence
def compare(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Structures with energies and forces: extxyz, ase.db, what ASE reads.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A name, or a Python file of methods; may be repeated. [default: all]"
        ),
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
        typer.Option(
            help="Deal the data out as often, with seed, seed + 1 ..., and fit anew."
        ),
    ] = 1,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the results.")
    ] = Path("runs/uncertainty"),
    names: Annotated[
        bool, typer.Option("--list", help="Print the named methods, compare nothing.")
    ] = False,
) -> None:
    """Compare what error bars are worth on DATA; on the same DIR again, go on."""
    if names:
        comparison.show()
        return
    if data is None:
        raise InputError(must("DATA", "be a file of structures", "nothing"))
    options = comparison.Options(
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
    comparison.run(options)


@uncertainty.command("data")
@sentence
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cu15 or au5cu10.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the files.")
    ] = Path("data"),
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
) -> None:
    """Make labelled clusters to compare on: cold ones, hot ones and large ones."""
    comparison.make(name, out, seed)


def _seed(folder: Path | None) -> int:
    """Return the seed of the campaign in a folder, 0 if there is none."""
    if folder is None:
        return 0
    try:
        return Log(folder).seed
    except LogError:
        return 0


def main() -> None:
    """Run the command line."""
    app(prog_name="bostruct")


if __name__ == "__main__":
    main()
