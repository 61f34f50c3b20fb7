"""SQL table of the trials that were pending when a step was planned, where there were any.

A log has it from the first such step on. All other trials before the step had a result, so that
the table says what was known when the step was planned.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from bostruct.campaign.log.optional_table import read_optional_table

PENDING_TABLE = """
CREATE TABLE IF NOT EXISTS bostruct_pending (
    step INTEGER PRIMARY KEY REFERENCES bostruct_step (number),
    trials TEXT NOT NULL,  -- JSON: trials without a result then, runs as [first,last]
    checksum TEXT NOT NULL
);
"""
"""Table that a log has from its first step with pending trials on."""


def read_pending(
    query: Callable[..., list[sqlite3.Row]], step: int | None = None
) -> dict[int, str]:
    """Return the pending trials of steps, as `NumberRanges` reads them, by the number of the step.

    Args:
        query: Function that returns the rows of an SQL query with its values.
        step: Number of the only step that is read; None reads all.
    """
    return read_optional_table(query, "bostruct_pending", "step", "trials", step)
