"""What the command line asks for: the comparison with its progress and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final, get_args

from rich.console import Console
from rich.status import Status
from rich.table import Table

from bostruct.bench.uncertainty import datasets
from bostruct.bench.uncertainty.comparison import compare
from bostruct.bench.uncertainty.methods import METHODS, load
from bostruct.bench.uncertainty.split import CALIBRATE, TEST, Shift
from bostruct.errors import InputError, must
from bostruct.structures import Structures, from_ase

WIDTH, WIDE = 150, 200
"""Columns of the tables where the output is no terminal; of several splits."""


@final
@dataclass(frozen=True)
class Options:
    """What is to be compared.

    Args:
        data: A file of structures.
        methods: Names, or files that hold methods; all where there is none.
        train: How many structures to learn from.
        calibrate: How many to calibrate with.
        test: How many to judge by; None takes the rest.
        shifted: Files of structures of another kind.
        shift: How a shifted set is made where there is no such file.
        seed: Of the shuffling.
        splits: How often the data are dealt out anew.
        out: The folder.
    """

    data: Path
    methods: Sequence[str]
    train: int
    calibrate: int
    test: int | None
    shifted: Sequence[Path]
    shift: str
    seed: int
    splits: int
    out: Path


def run(options: Options) -> None:
    """Compare, and print the tables."""
    methods = load(options.methods)
    if options.shift not in get_args(Shift):
        condition = f"be one of {', '.join(get_args(Shift))}"
        raise InputError(must("shift", condition, repr(options.shift)))
    shift: Shift = next(s for s in get_args(Shift) if s == options.shift)
    structures = read(options.data)
    shifted = {_name(path): read(path) for path in options.shifted}
    line = Status("starting", console=Console(stderr=True))
    if line.console.is_terminal:
        line.start()
    try:
        found = compare(
            structures,
            methods,
            train=options.train,
            calibrate=options.calibrate,
            test=options.test,
            shifted=shifted,
            shift=shift,
            seed=options.seed,
            splits=options.splits,
            out=options.out,
            tell=line.update,
        )
    finally:
        line.stop()
    console = stdout(WIDTH if options.splits == 1 else WIDE)
    console.print(found.table())
    console.print(f"Tables and plots are in {options.out}", soft_wrap=True)


def make(name: str, out: Path, seed: int) -> None:
    """Make one data set, and print what was written."""
    for path in datasets.write(name, out, seed):
        stdout().print(f"{path}: {len(read(path))} structures", soft_wrap=True)


def show() -> None:
    """Print the named methods."""
    grid = Table("method", "its variance")
    for name, one in METHODS.items():
        grid.add_row(name, one.source)
    stdout().print(grid)


def read(path: Path) -> Structures:
    """Return all structures of a file that ASE reads.

    Raises:
        InputError: it cannot be read.
    """
    import ase.io

    condition = "be a file of structures that ASE can read"
    if not path.is_file():
        raise InputError(must("data", condition, f"{path}, which is no file"))
    try:
        frames = ase.io.read(path, index=":")
    except Exception as error:  # foreign code, and a file of any content
        reason = f"{type(error).__name__}: {error}."
        raise InputError(must("data", condition, str(path), reason)) from error
    for frame in frames:
        frame.constraints = [c for c in frame.constraints if _keeps(c)]
    return from_ase(frames)


def stdout(width: int = WIDTH) -> Console:
    """Return the console of results, wide enough for them."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def _keeps(constraint: object) -> bool:
    """Return whether a constraint fixes whole atoms; no other one matters here."""
    return type(constraint).__name__ == "FixAtoms"


def _name(path: Path) -> str:
    return (
        f"shifted {path.stem}" if path.stem in ("train", CALIBRATE, TEST) else path.stem
    )
