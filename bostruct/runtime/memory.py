"""Memory is counted before it is taken.

An allocation of a size that anybody can multiply out beforehand is refused with a
sentence instead of ending the process.
"""

from __future__ import annotations

import os

import torch

from bostruct.errors import InputError, must

# What the functions of this folder take at once for a block of rows, unless told.
BLOCK = 64 * 2**20  # bytes


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


def check_memory(name: str, need: int, have: int, way_out: str = "") -> int:
    """Return `need` if that many bytes fit into `have`.

    Raises:
        InputError: they do not; the sentence has both in GiB.
    """
    if need > have:
        condition = f"need at most the {have / 2**30:.3g} GiB that are free"
        raise InputError(must(name, condition, f"{need / 2**30:.3g} GiB", way_out))
    return need


def block_rows(width: int, block: int = BLOCK) -> int:
    """Return how many rows of `width` float64 numbers fit into a block of bytes."""
    return max(1, block // (8 * max(1, width)))
