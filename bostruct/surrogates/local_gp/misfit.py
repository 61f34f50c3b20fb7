"""Misfit of a local Gaussian process: the share of noise-free energies that no weights represent.

Notation
    K  [..., q, q]  eV² or 1   prior covariances of q energies
    c                          K_ij / (K_ii K_jj)^½, 1 for copies of one structure
    e, l            eV         noise per root atom: fitted, and that of the labels alone
    n  [..., q]                number of atoms

The energies of a converged calculation are noise-free. What a fit of them calls noise is the part
that the kernel and its inducing environments cannot represent (discrepancy of a model: Kennedy and
O'Hagan, J. R. Stat. Soc. B 63, 425 (2001)). It is an error like any other of the model, so latent,
and as a fit takes it for independent from structure to structure, only copies share it:
    covariance = (e² - l²) (n_i n_j)^½ exp(-(1 - c_ij) / w)
The exponential of a covariance is one. w is small: moved by 0.03 Å a structure is still the same,
and different ones have 1 - c of 1e-3 to 1e-1.
"""

from __future__ import annotations

import torch
from torch import Tensor

CORRELATION_WIDTH = 1e-4
"""Width w, in units of c, within which two structures are the same."""


def misfit_variance(energy_noise_std: Tensor, label_noise: float | None, counts: Tensor) -> Tensor:
    """Return the variances of the misfit, `[...]` eV².

    Args:
        energy_noise_std: Fitted noise, eV per root atom.
        label_noise: Noise of the labels alone, eV per root atom; None if the fitted one is theirs.
        counts: `[...]`, numbers of atoms.
    """
    if label_noise is None:
        return torch.zeros_like(counts).to(energy_noise_std)
    return (energy_noise_std**2 - label_noise**2).clamp(min=0) * counts


def label_noise_variance(
    energy_noise_std: Tensor, label_noise: float | None, counts: Tensor
) -> Tensor:
    """Return the noise variances of the labels, `[...]` eV²; arguments as of `misfit_variance`."""
    noise = energy_noise_std if label_noise is None else energy_noise_std.new_tensor(label_noise)
    return noise**2 * counts


def misfit_covariance(kernel: Tensor, variance: Tensor) -> Tensor:
    """Return the covariances of the misfit, `[..., q, q]` eV², differentiable in the kernel.

    Args:
        kernel: `[..., q, q]`, K in any unit.
        variance: `[..., q]` eV².
    """
    scale, std = kernel.diagonal(dim1=-2, dim2=-1).sqrt(), variance.sqrt()
    c = kernel / (scale.unsqueeze(-1) * scale.unsqueeze(-2))
    correlation = ((c.clamp(max=1) - 1) / CORRELATION_WIDTH).exp()
    return correlation * (std.unsqueeze(-1) * std.unsqueeze(-2))
