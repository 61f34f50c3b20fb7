"""What the command line asks for: the comparison with its progress and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final, get_args

from rich.console import Console
from rich.status import Status

from bostruct.bench.tables import data_frame, result_console, terminal_table
from bostruct.bench.uncertainty import datasets
from bostruct.bench.uncertainty.comparison import compare
from bostruct.bench.uncertainty.methods import METHODS, load_methods
from bostruct.bench.uncertainty.split import CALIBRATE, TEST, ShiftKind
from bostruct.errors import InputError, error_message
from bostruct.structures import Structures, from_ase

CONSOLE_WIDTH, MULTI_SPLIT_CONSOLE_WIDTH = 150, 200
"""Columns of the tables where the output is no terminal; of several splits."""


@final
@dataclass(frozen=True)
class UncertaintyOptions:
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


def run_comparison(options: UncertaintyOptions) -> None:
    """Compare, and print the tables."""
    methods = load_methods(options.methods)
    if options.shift not in get_args(ShiftKind):
        condition = f"be one of {', '.join(get_args(ShiftKind))}"
        raise InputError(error_message("shift", condition, repr(options.shift)))
    shift: ShiftKind = next(s for s in get_args(ShiftKind) if s == options.shift)
    structures = read_labeled_structures(options.data)
    shifted = {_shifted_set_name(path): read_labeled_structures(path) for path in options.shifted}
    line = Status("starting", console=Console(stderr=True))
    if line.console.is_terminal:
        line.start()
    try:
        found = compare(
            structures,
            methods,
            n_train=options.train,
            n_calibrate=options.calibrate,
            n_test=options.test,
            shifted=shifted,
            shift=shift,
            seed=options.seed,
            n_splits=options.splits,
            out=options.out,
            on_progress=line.update,
        )
    finally:
        line.stop()
    console = result_console(CONSOLE_WIDTH if options.splits == 1 else MULTI_SPLIT_CONSOLE_WIDTH)
    console.print(found.table())
    console.print(f"Tables and plots are in {options.out}", soft_wrap=True)


def make_dataset(name: str, out: Path, seed: int) -> None:
    """Make one data set, and print what was written."""
    for path in datasets.write_dataset(name, out, seed):
        result_console(CONSOLE_WIDTH).print(
            f"{path}: {len(read_labeled_structures(path))} structures", soft_wrap=True
        )


def print_methods() -> None:
    """Print the named methods."""
    rows = ((name, method.source) for name, method in METHODS.items())
    frame = data_frame(rows, ("method", "contributions to its variance"))
    result_console(CONSOLE_WIDTH).print(terminal_table(frame, left=frame.columns))


def read_labeled_structures(path: Path) -> Structures:
    """Return all structures of a file that ASE reads.

    Raises:
        InputError: it cannot be read.
    """
    import ase.io

    condition = "be a file of structures that ASE can read"
    if not path.is_file():
        raise InputError(error_message("data", condition, f"{path}, which is no file"))
    try:
        frames = ase.io.read(path, index=":")
    except Exception as error:  # foreign code, and a file of any content
        reason = f"{type(error).__name__}: {error}."
        raise InputError(error_message("data", condition, str(path), reason)) from error
    for frame in frames:
        frame.constraints = [c for c in frame.constraints if _is_fix_atoms(c)]
    return from_ase(frames)


def _is_fix_atoms(constraint: object) -> bool:
    """Return whether a constraint fixes whole atoms; no other one matters here."""
    return type(constraint).__name__ == "FixAtoms"


def _shifted_set_name(path: Path) -> str:
    return f"shifted {path.stem}" if path.stem in ("train", CALIBRATE, TEST) else path.stem
