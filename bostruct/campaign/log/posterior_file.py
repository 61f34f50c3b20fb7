"""Posterior files: one safetensors file per step, written once.

Tensors of a file
    model.*                         state from which the surrogate is restored
    candidates.X                    [c, d]
    candidates.mean                 [c] eV
    candidates.latent_variance      [c] eV² of the noise-free energy
    candidates.predictive_variance  [c] eV² of an observed energy
    candidates.acquisition          [c]
    candidates.steps                [c] relaxation steps; candidates.converged [c]
    chosen.index                    [q] rows of the selected candidates
    chosen.covariance               [q, q] eV², joint, latent
    compared.trials                 [r] best trials known to the step, where the energy is minimized
    compared.mean                   [r + q] eV of these, and of the selected candidates
    compared.latent_covariance      [r + q, r + q] eV²; compared.covariance of observed energies
    probe.X                         [p, d] fixed structures, the same in every step
    probe.mean                      [p] eV; probe.latent_variance [p] eV²
    training_trials                 [t] trials the surrogate was trained on
The header holds one JSON text: format, step, the generator of every candidate, and the head of the
hash chain when the step was planned. With objectives
the means and variances have a further axis, one entry for each learned outcome in outcome space.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bostruct.campaign.log.malformed_log import CONTENT_ERRORS
from bostruct.errors import LogError
from bostruct.runtime.canonical_json import parse_json, to_canonical_json

HEADER_KEY = "bostruct"

CHAIN_KEY = "chain"
"""Key of the head of the hash chain in the header."""

MAX_BYTES = 2**32
"""Largest file that is read."""


def posterior_file_name(step: int) -> str:
    """Return the file name of a step's posterior.

    >>> posterior_file_name(12)
    'step-000012.safetensors'
    """
    return f"step-{step:06d}.safetensors"


def is_posterior_file_name(name: str) -> bool:
    """Return whether a name is one of a posterior file, and no path to another folder."""
    return re.fullmatch(r"step-\d+\.safetensors", name, re.ASCII) is not None


def to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors on the CPU, synchronizing each device once."""
    copies: dict[str, Tensor] = {}
    devices = set()
    for key, tensor in tensors.items():
        source = tensor.detach()
        if source.device.type == "cuda":
            copy = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
            copies[key] = copy.copy_(source, non_blocking=True)
            devices.add(source.device)
        else:
            # A copy: safetensors refuses tensors that share memory.
            copies[key] = source.clone(memory_format=torch.contiguous_format)
    for device in devices:
        torch.cuda.synchronize(device)
    return copies


def to_safetensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file; equal content gives equal bytes."""
    return safetensors.torch.save(dict(tensors), {HEADER_KEY: to_canonical_json(header)})


def content_sha256(data: bytes) -> str:
    """Return the sha256 of a file's tensors and header, without the head of the hash chain.

    The head rests on times; the rest is equal in every run of the same campaign.
    """
    body = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:body])
    header = json.loads(entries["__metadata__"][HEADER_KEY])
    header.pop(CHAIN_KEY, None)
    entries["__metadata__"] = header
    digest = hashlib.sha256(to_canonical_json(entries).encode())
    digest.update(memoryview(data)[body:])
    return digest.hexdigest()


def from_safetensors(data: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header of a file's bytes.

    Raises:
        LogError: the file is not complete.
    """
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])["__metadata__"][HEADER_KEY]
        return tensors, parse_json(header, f"header of {name}", dict, object)
    except (safetensors.SafetensorError, *CONTENT_ERRORS) as error:
        raise LogError(f"{name} is not a whole posterior file: {error}") from error


def model_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors from which the surrogate is restored, under its own names."""
    prefix = "model."
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }
