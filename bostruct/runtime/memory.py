"""Checks of the free memory before large allocations.

An allocation whose size is known beforehand is refused with an error instead of ending the process.
"""

from __future__ import annotations

import torch

from bostruct.errors import InputError, error_message

BLOCK_BYTES = 64 * 2**20
"""Default size of a block of rows that is processed at once, bytes."""


def free_bytes(device: torch.device | str = "cpu") -> int:
    """Return the bytes that are free now on a device.

    On a CPU: the memory available without swapping.
    """
    import psutil

    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def check_memory(name: str, required_bytes: int, available_bytes: int, hint: str = "") -> int:
    """Return `required_bytes` if they do not exceed `available_bytes`.

    Raises:
        InputError: they do; the message has both in GiB.
    """
    if required_bytes > available_bytes:
        condition = f"need at most the {available_bytes / 2**30:.3g} GiB that are free"
        raise InputError(error_message(name, condition, f"{required_bytes / 2**30:.3g} GiB", hint))
    return required_bytes


def rows_per_block(n_columns: int, block_bytes: int = BLOCK_BYTES) -> int:
    """Return the number of rows of `n_columns` float64 numbers in a block, at least 1."""
    return max(1, block_bytes // (8 * max(1, n_columns)))
