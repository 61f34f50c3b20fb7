"""Main guard: what a script that starts processes needs around its calls.

A process that is not forked imports the script of its parent before it computes anything. Without
the guard it does all that the script does, and starts processes of its own; Python ends it then,
and the parent waits for a process that never comes.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from types import FrameType

from bostruct.errors import InputError, error_message

GUARD_NAMES = frozenset({"__name__", "parent_process", "current_process"})
"""Names that tell a process that imports a script from the one that runs it."""

IMPORTED_MAIN = "__mp_main__"
"""Name under which a process of `multiprocessing` imports the script of its parent."""

GUARD = 'if __name__ == "__main__":'
"""First line of a main guard."""


def check_main_guard(starts_processes: bool) -> None:
    """Refuse to compute where processes that import the script would run it again.

    Args:
        starts_processes: True if processes are to be started that import the script; else only a
            process that is importing it is refused.

    Raises:
        InputError: the script calls this outside of a main guard, in the process that runs it or
            in one that imports it; or processes cannot import it, as it is no file.
    """
    script = _imported_script() if starts_processes else None
    if script is not None and not script.is_file():
        condition = "be a file, as worker processes import it"
        hint = f"Save it, put what it runs under `{GUARD}`, and run the file."
        raise InputError(error_message("script", condition, script.name, hint))
    for frame in _module_frames():
        is_import = frame.f_globals.get("__name__") == IMPORTED_MAIN
        if is_import or (script is not None and _is_unguarded(script, frame)):
            condition = f"call this under `{GUARD}`, as worker processes import it"
            value = f"a call in line {frame.f_lineno}"
            hint = f"Write `{GUARD}` above that line and indent what follows."
            raise InputError(error_message(frame.f_code.co_filename, condition, value, hint))


def imports_main(executor: Executor) -> bool:
    """Return whether the processes of a `ProcessPoolExecutor` import the script."""
    if not isinstance(executor, ProcessPoolExecutor):
        return False
    context = getattr(executor, "_mp_context", None)
    return context is not None and context.get_start_method() != "fork"


def _imported_script() -> Path | None:
    """Return the file that processes import, None where there is none.

    There is none in a notebook, in a console, and where the main module of a package runs.
    """
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if path is None or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):
        return None
    return Path(path)


def _module_frames() -> Iterator[FrameType]:
    """Yield the frames of this thread that are at the top level of a module."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            yield frame
        frame = frame.f_back


def _is_unguarded(script: Path, frame: FrameType) -> bool:
    """Return whether a frame is at a line of the script that an import of it runs again."""
    is_main = frame.f_globals is vars(sys.modules["__main__"])
    if not is_main or Path(frame.f_code.co_filename).name != script.name:
        return False
    try:
        tree = ast.parse(script.read_bytes())
    except (SyntaxError, ValueError):  # no source, or edited since
        return False
    return not any(_is_guard(node, frame.f_lineno) for node in ast.walk(tree))


def _is_guard(node: ast.AST, line: int) -> bool:
    """Return whether a node is a condition on the kind of process, with a line in its body."""
    if not isinstance(node, ast.If) or not node.lineno <= line <= (node.end_lineno or line):
        return False
    names = {getattr(part, "id", getattr(part, "attr", None)) for part in ast.walk(node.test)}
    return not GUARD_NAMES.isdisjoint(names)
