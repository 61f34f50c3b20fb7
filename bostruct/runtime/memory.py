"""Memory is counted before it is taken.

An allocation of a size that anybody can multiply out beforehand is refused with a
sentence instead of ending the process.
"""

from __future__ import annotations

import os

import torch

from bostruct.errors import InputError, error_message

# What the functions of this folder take at once for a block of rows, unless told.
BLOCK_BYTES = 64 * 2**20  # bytes


def free_bytes(device: torch.device | str = "cpu") -> int:
    """Return the bytes that are free now on a device.

    On a CPU: what the kernel would hand out without swapping (`MemAvailable`), or the
    free pages where it does not say.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def check_memory(name: str, required_bytes: int, available_bytes: int, hint: str = "") -> int:
    """Return `required_bytes` if that many bytes fit into `available_bytes`.

    Raises:
        InputError: they do not; the sentence has both in GiB.
    """
    if required_bytes > available_bytes:
        condition = f"need at most the {available_bytes / 2**30:.3g} GiB that are free"
        raise InputError(error_message(name, condition, f"{required_bytes / 2**30:.3g} GiB", hint))
    return required_bytes


def rows_per_block(n_columns: int, block_bytes: int = BLOCK_BYTES) -> int:
    """Return how many rows of `n_columns` float64 numbers fit into a block of bytes."""
    return max(1, block_bytes // (8 * max(1, n_columns)))
