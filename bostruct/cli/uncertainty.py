"""Commands `uncertainty compare`, `uncertainty data` and `uncertainty held-out`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from bostruct import cli
from bostruct.cli.progress_line import progress_line
from bostruct.errors import InputError, check_count, error_message

CONSOLE_WIDTH, MULTI_SPLIT_CONSOLE_WIDTH = 150, 200
"""Columns of the tables of one split and of several, where the output is no terminal."""


def compare(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="File of structures with energies and forces in a format that ASE reads.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a method, or Python file that defines methods; may be repeated. ",
            show_default="all",
        ),
    ] = None,
    train: Annotated[int, typer.Option(help="Number of training structures.")] = 100,
    calibrate: Annotated[int, typer.Option(help="Number of calibration structures.")] = 100,
    test: Annotated[
        int | None, typer.Option(help="Number of test structures.", show_default="the rest")
    ] = None,
    shifted: Annotated[
        list[Path] | None,
        typer.Option(help="File of structures of another distribution; may be repeated."),
    ] = None,
    shift: Annotated[
        str,
        typer.Option(
            help="Without such a file: hold out the structures of the highest energy or the "
            "largest size (energy, size or none)."
        ),
    ] = "energy",
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    splits: Annotated[
        int,
        typer.Option(help="Number of random splits, with seed, seed + 1 ..., each fitted anew."),
    ] = 1,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path(
        "runs/uncertainty"
    ),
    list_only: Annotated[
        bool, typer.Option("--list", help="Print the named methods and exit.")
    ] = False,
) -> None:
    """Compare the uncertainty estimates of methods on DATA; resume on the same DIR."""
    if list_only:
        rows = ((name, named_method.source) for name, named_method in cli.METHODS.items())
        columns = ("method", "contributions to its variance")
        table = cli.terminal_table(cli.data_frame(rows, columns), left=columns)
        cli.result_console(CONSOLE_WIDTH).print(table)
        return
    if data is None:
        raise InputError(error_message("DATA", "be a file of structures", "nothing"))
    check_count("splits", splits)
    methods = cli.load_methods(method or [])
    structures = read_labeled_structures(data)
    shifted_sets = {
        _shifted_set_name(path): read_labeled_structures(path) for path in shifted or []
    }
    with progress_line() as line:
        result = cli.comparison.compare(
            structures,
            methods,
            n_train=train,
            n_calibrate=calibrate,
            n_test=test,
            shifted=shifted_sets,
            shift=cast("cli.ShiftKind", shift),
            seed=seed,
            n_splits=splits,
            out=out,
            on_progress=line.update,
        )
    console = cli.result_console(CONSOLE_WIDTH if splits == 1 else MULTI_SPLIT_CONSOLE_WIDTH)
    console.print(result.table())
    console.print(f"Tables and plots are in {out}", soft_wrap=True)


def data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name: cu15 or au5cu10.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the files.")] = Path("data"),
    seed: Annotated[int, typer.Option(help="Seed of the random structures.")] = 0,
) -> None:
    """Write labelled clusters: of low and of high energy, and larger ones."""
    console = cli.result_console(CONSOLE_WIDTH)
    for path in cli.datasets.write_dataset(name, out, seed):
        n_structures = len(read_labeled_structures(path))
        console.print(f"{path}: {n_structures} structures", soft_wrap=True)


def held_out(
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a method, or Python file that defines methods; may be repeated.",
            show_default="LocalGP as a campaign has it",
        ),
    ] = None,
    train: Annotated[int, typer.Option(help="Number of training structures.")] = 100,
    test: Annotated[int, typer.Option(help="Number of held-out structures of a kind.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the structures.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path(
        "runs/held-out"
    ),
) -> None:
    """Tell errors and honesty of σ on held-out data of many kinds, near and far."""
    methods = cli.load_methods(method) if method else {"LocalGP": cli.LocalGP()}
    with progress_line() as line:
        line.update("EMT energies")
        sets = cli.held_out_sets(train, test, seed)
        scores = cli.score_held_out(methods, sets, line.update)
    cli.write_held_out(scores, out)
    console = cli.result_console(CONSOLE_WIDTH)
    console.print(cli.held_out_table(scores))
    console.print(f"Tables are in {out}", soft_wrap=True)


def read_labeled_structures(path: Path) -> cli.Structures:
    """Return all structures of a file that ASE reads.

    Raises:
        InputError: the file cannot be read.
    """
    from ase.constraints import FixAtoms

    images = [image for _, image in cli.read_structure_file("data", path)]
    for image in images:
        image.constraints = [c for c in image.constraints if isinstance(c, FixAtoms)]
    return cli.from_ase(images)


def _shifted_set_name(path: Path) -> str:
    return f"shifted {path.stem}" if path.stem in ("train", cli.CALIBRATE, cli.TEST) else path.stem
