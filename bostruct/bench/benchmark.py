"""Frame of the benchmarks of energies and of fronts: jobs, worker processes, results folder."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any, TypeVar

from bostruct.campaign.campaign import MAX_SEED
from bostruct.errors import InputError, LogError, check_count, error_message
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.canonical_json import json_finite, to_canonical_json
from bostruct.runtime.executors import InProcess, Workers
from bostruct.runtime.threads import limited_threads

T = TypeVar("T")


def seed_range(first_seed: int, n_seeds: int) -> range:
    """Return seeds that follow each other.

    Args:
        first_seed: First of them.
        n_seeds: Number of them.

    Raises:
        InputError: a number is out of range.
    """
    check_count("first_seed", first_seed, 0)
    last = first_seed + check_count("n_seeds", n_seeds) - 1
    if last > MAX_SEED:
        condition = f"leave seeds up to {MAX_SEED}"
        raise InputError(error_message("first_seed", condition, f"{first_seed} to {last}"))
    return range(first_seed, last + 1)


def run_jobs(
    functions: Sequence[Callable[[], T]], n_workers: int
) -> Iterator[tuple[int, Future[T]]]:
    """Call functions in this process or in several; yield index and future as each ends.

    Each runs in one thread. When the iteration is abandoned, functions that are running in other
    processes are stopped.

    Args:
        functions: Functions without arguments, picklable by cloudpickle.
        n_workers: Number of processes; 1 stays in this one.
    """
    if n_workers == 1:
        for i, function in enumerate(functions):
            yield i, InProcess().submit(_in_one_thread, function)
        return
    executor = Workers(n_workers)
    try:
        indices = {
            executor.submit(_in_one_thread, function): i for i, function in enumerate(functions)
        }
        for future in as_completed(indices):
            yield indices[future], future
    finally:
        executor.shutdown(wait=False)


@limited_threads(1)
def _in_one_thread(function: Callable[[], T]) -> T:
    return function()


def check_unique_names(kind: str, names: Sequence[str]) -> None:
    """Refuse no names at all, and names that occur twice.

    Raises:
        InputError: there is no name, or one occurs twice.
    """
    if not names:
        raise InputError(error_message(kind, "be at least one", "none"))
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise InputError(error_message(kind, "have names of their own", ", ".join(repeated)))


def check_results_folder(folder: Path, is_own: Callable[[list[Path]], bool]) -> None:
    """Refuse a folder that is neither new, empty, nor that of the same kind of benchmark.

    Args:
        folder: Folder of the results.
        is_own: Returns whether the entries of a folder are those of such a benchmark.

    Raises:
        LogError: the folder is a file or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise LogError(f"{folder} is a file, not a folder. Take another name.")
    entries = sorted(folder.iterdir()) if folder.exists() else []
    if entries and not is_own(entries):
        raise LogError(
            f"{folder} is not the folder of a benchmark and not empty. "
            "Take an empty or a new folder."
        )


def make_folder(folder: Path) -> Path:
    """Return a folder after making it where it does not exist.

    Raises:
        LogError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"could not make {folder}: {error.strerror or error}") from error
    return folder


def json_digest(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return the SHA-256 of JSON values."""
    return hashlib.sha256(to_canonical_json(value).encode()).hexdigest()


def write_json(value: Any, path: Path, indent: int | None = 1) -> None:  # noqa: ANN401 - JSON
    """Write JSON values to a file, None for every number that is infinite or NaN.

    Args:
        value: JSON values.
        path: File, whose folder is made where it does not exist.
        indent: Number of spaces at each level; None for a single line.

    Raises:
        LogError: the file cannot be written.
    """
    text = json.dumps(json_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    make_folder(path.parent)
    write_atomically(path, text.encode())


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON values in a file that can be computed again, None where there is no file.

    Raises:
        LogError: the file cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise LogError(f"could not read {path}: {error}. Delete it.") from error
