"""Instances of an ASE calculator, one for each process and thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

from bostruct.evaluators.evaluation_context import current_context


@final
class CalculatorInstances:
    """Instances of an ASE calculator, made where they are used and never shared.

    ASE calculators keep the structure and the results of their last call, so one instance serves
    one thread of one process. An instance that has raised is not used again: a library in an
    error state would fail for ever.

    Args:
        factory: Calculator class, or a function that returns a calculator.
        arguments: Arguments of the factory.
        validate: Function that raises an error if a new instance cannot be used.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        arguments: Mapping[str, Any],
        validate: Callable[[Any], None] | None = None,
    ) -> None:
        self.factory = factory
        self.arguments = dict(arguments)
        self.validate = validate
        self._local = threading.local()

    @contextlib.contextmanager
    def lend(self) -> Iterator[Any]:
        """Lend this thread's instance, with the working folder of the running evaluation."""
        calculator = getattr(self._local, "calculator", None)
        if calculator is None:
            calculator = self.factory(**self.arguments)
            if self.validate is not None:
                self.validate(calculator)
            self._local.calculator = calculator
        context = current_context()
        if context is not None and context.folder is not None:
            set_directory(calculator, context.folder)
        try:
            yield calculator
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Forget this thread's instance: the next call makes a new one."""
        self._local.calculator = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the instances behind: the other process makes its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_local"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Begin without an instance."""
        self.__dict__.update(state, _local=threading.local())


def set_directory(calculator: object, folder: Path) -> None:
    """Make a calculator write its files in a folder, and the calculators that it holds as well.

    Args:
        calculator: ASE calculator; one without a directory is left as it is.
        folder: Absolute path.
    """
    if hasattr(calculator, "directory"):
        calculator.directory = folder
    held = [getattr(calculator, name, None) for name in ("calc", "calculator")]
    held += getattr(getattr(calculator, "mixer", None), "calcs", [])
    for inner in held:
        if inner is not None and inner is not calculator:
            set_directory(inner, folder)
