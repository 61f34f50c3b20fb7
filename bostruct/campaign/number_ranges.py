"""Sequences of whole numbers as ranges, whose size does not grow with a run of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import final, overload

from bostruct.runtime.canonical_json import to_canonical_json


@final
class NumberRanges(Sequence[int]):
    """Sequence of numbers held as a JSON list of numbers and of pairs, first and last of a run.

    Args:
        text: JSON text; a list of single numbers is one, too.

    >>> NumberRanges.from_numbers([0, 1, 2, 3, 7]).text
    '[[0,3],7]'
    >>> list(NumberRanges("[[0,3],7]"))
    [0, 1, 2, 3, 7]
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def from_numbers(cls, numbers: Iterable[int]) -> NumberRanges:
        """Return the ranges of numbers in any order."""
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        return cls(to_canonical_json([run if run[1] > run[0] else run[0] for run in runs]))

    @property
    def ranges(self) -> list[range]:
        """Runs of consecutive numbers, in order."""
        return [
            range(item[0], item[1] + 1) if isinstance(item, list) else range(item, item + 1)
            for item in json.loads(self.text)
        ]

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __iter__(self) -> Iterator[int]:
        for run in self.ranges:
            yield from run

    def __contains__(self, number: object) -> bool:
        return any(number in run for run in self.ranges)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"NumberRanges({self.text!r})"
