"""Device of the tensor computations of a campaign."""

from __future__ import annotations

import time

import torch

from bostruct.errors import DeviceError, InputError, error_message


def synchronized_time(device: torch.device) -> float:
    """Return the time, s, after the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device; "auto" selects CUDA if available.

    Raises:
        InputError: it is not the name of a device.
        DeviceError: this machine, or this build of torch, does not have it.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    condition = "be auto, cpu or cuda"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise InputError(error_message("device", condition, repr(device))) from error
    if resolved.type not in ("cpu", "cuda"):
        raise InputError(error_message("device", condition, repr(str(device))))
    if resolved.type == "cpu":
        return resolved
    way_out = ""
    if not torch.cuda.is_available():
        way_out = (
            "torch sees no CUDA device here: take cpu or auto, or install a torch "
            "that was built for your driver."
        )
    elif (resolved.index or 0) >= torch.cuda.device_count():
        way_out = f"There are {torch.cuda.device_count()}, counted from 0."
    if way_out:
        raise DeviceError(error_message("device", "be one that exists", str(device), way_out))
    return resolved
