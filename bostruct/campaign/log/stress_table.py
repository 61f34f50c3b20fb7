"""SQL table of the stresses of a log, which only logs of structures with a variable cell have."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from bostruct.campaign.log.optional_table import read_optional_table

STRESS_TABLE = """
CREATE TABLE IF NOT EXISTS bostruct_stress (
    trial INTEGER PRIMARY KEY REFERENCES bostruct_trial (number),
    stress BLOB NOT NULL,  -- float64, little endian, eV/Å³: xx, yy, zz, yz, xz, xy
    checksum TEXT NOT NULL
);
"""
"""Table that a log has from its first stress on."""


def read_stresses(
    query: Callable[..., list[sqlite3.Row]], trial: int | None = None
) -> dict[int, bytes]:
    """Return the stored stresses by the number of the trial; none where there is no table.

    Args:
        query: Function that returns the rows of an SQL query with its values.
        trial: Number of the only trial that is read; None reads all.
    """
    return read_optional_table(query, "bostruct_stress", "trial", "stress", trial)
