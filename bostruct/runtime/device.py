"""Which device the tensor work of a campaign runs on."""

from __future__ import annotations

import time

import torch

from bostruct.errors import DeviceError, InputError, error_message


def synchronized_time(device: torch.device) -> float:
    """Return the time, s, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device; "auto" takes CUDA where there is one.

    Raises:
        InputError: it is not the name of a device.
        DeviceError: this machine, or this build of torch, does not have it.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        condition = "be auto, cpu or cuda"
        raise InputError(error_message("device", condition, repr(device))) from error
    if found.type not in ("cpu", "cuda"):
        raise InputError(error_message("device", "be auto, cpu or cuda", repr(str(device))))
    if found.type == "cuda" and not torch.cuda.is_available():
        way_out = (
            "torch sees no CUDA device here: take cpu or auto, or install a torch "
            "that was built for your driver."
        )
        raise DeviceError(error_message("device", "be one that exists", str(device), way_out))
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        way_out = f"There are {torch.cuda.device_count()}, counted from 0."
        raise DeviceError(error_message("device", "be one that exists", str(device), way_out))
    return found
