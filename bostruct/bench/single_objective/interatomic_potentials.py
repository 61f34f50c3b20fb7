"""Interatomic potentials in closed form, as functions of `ase.Atoms` for `evaluators.Function`.

Each returns the energy, eV, and the forces `[a, 3]`, eV/Å, of free atoms without a cutoff.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]

COULOMB = 14.399645
"""Energy of two elementary charges at a distance of 1 Å, eV Å."""

GUPTA_PARAMETERS = {
    "Ni": (0.0376, 1.070, 16.999, 1.189, 2.491),
    "Cu": (0.0855, 1.224, 10.960, 2.278, 2.556),
    "Pt": (0.2975, 2.695, 10.612, 4.004, 2.775),
    "Au": (0.2061, 1.790, 10.229, 4.036, 2.884),
}
"""A and ξ in eV, p, q, and r0 in Å: Cleri and Rosato, Phys. Rev. B 48, 22 (1993)."""


STILLINGER_WEBER_SILICON = (7.049556277, 0.6022245584, 1.80, 1.20, 21.0, 2.0951, 2.16826)
"""A, B, a, γ, λ, σ in Å and ε in eV: Phys. Rev. B 31, 5262 (1985)."""

TERSOFF_CARBON = (
    *(1393.6, 346.74, 3.4879, 2.2119),
    *(1.5724e-7, 0.72751, 38049.0, 4.3484, -0.57058),
    *(1.80, 2.10),
)
"""A and B in eV, λ and μ in 1/Å, β, n, c, d, h, and both ends of the cutoff function in Å."""


def lennard_jones_mixture(
    atoms: Atoms, sigma: Mapping[str, float], epsilon: float
) -> tuple[float, FloatArray]:
    """Return the Lennard-Jones energy and forces of atoms of several sizes.

    σ of unlike atoms is the mean of their own (Lorentz).

    Args:
        atoms: Free atoms.
        sigma: σ of each element, Å.
        epsilon: ε of all pairs, eV.
    """
    vectors, r = _pairs(atoms)
    sizes = np.array([sigma[symbol] for symbol in atoms.symbols])
    power = ((sizes[:, None] + sizes) / 2 / r) ** 6
    energies = 4 * epsilon * (power**2 - power)
    slopes = 4 * epsilon * (6 * power - 12 * power**2) / r
    return _sum_pairs(vectors, r, energies, slopes)


def born_mayer(
    atoms: Atoms, charges: Mapping[str, float], repulsion: Mapping[str, tuple[float, float]]
) -> tuple[float, FloatArray]:
    """Return the energy and forces of rigid ions, sum of q q' / r and A exp(-r / ρ).

    Born and Mayer, Z. Phys. 75, 1 (1932).

    Args:
        atoms: Free ions.
        charges: Charge of each element, e.
        repulsion: A in eV and ρ in Å by pair of elements in alphabetical order, as in
            `{"Mg-O": (1428.5, 0.2945)}`; a pair that is not given has none.
    """
    vectors, r = _pairs(atoms)
    symbols = list(atoms.symbols)
    q = np.array([charges[symbol] for symbol in symbols])
    names = [["-".join(sorted((a, b))) for b in symbols] for a in symbols]
    table = np.array([[repulsion.get(name, (0.0, 1.0)) for name in row] for row in names])
    amplitudes, rho = table[..., 0], table[..., 1]
    coulomb, wall = COULOMB * q[:, None] * q / r, amplitudes * np.exp(-r / rho)
    return _sum_pairs(vectors, r, coulomb + wall, -coulomb / r - wall / rho)


def gupta(atoms: Atoms) -> tuple[float, FloatArray]:
    """Return the Gupta energy and forces of metal atoms (second-moment approximation).

    E = sum_i [ sum_j A e^(-p s) - (sum_j ξ² e^(-2 q s))^½ ],  s = r_ij / r0 - 1; for unlike atoms A
    and ξ are geometric means, the others arithmetic ones. Cleri and Rosato, Phys. Rev. B 48, 22
    (1993).

    Args:
        atoms: Two or more free atoms of `GUPTA_PARAMETERS`.
    """
    vectors, r = _pairs(atoms)
    own = np.array([GUPTA_PARAMETERS[symbol] for symbol in atoms.symbols])
    A, xi = (np.sqrt(own[:, k, None] * own[:, k]) for k in (0, 1))
    p, q, r0 = ((own[:, k, None] + own[:, k]) / 2 for k in (2, 3, 4))
    stretch = r / r0 - 1
    repulsion = A * np.exp(-p * stretch)
    hopping = xi**2 * np.exp(-2 * q * stretch)
    np.fill_diagonal(repulsion, 0.0)
    np.fill_diagonal(hopping, 0.0)
    bonds = np.sqrt(hopping.sum(1))
    energy = float(repulsion.sum() - bonds.sum())
    inverse = 1 / bonds
    slopes = -2 * p / r0 * repulsion + q / r0 * hopping * (inverse[:, None] + inverse)
    forces: FloatArray = -((slopes / r)[..., None] * vectors).sum(1)
    return energy, forces


def stillinger_weber(atoms: Atoms) -> tuple[float, FloatArray]:
    """Return the energy and forces of silicon: Stillinger and Weber, Phys. Rev. B 31, 5262 (1985).

    Args:
        atoms: Free silicon atoms.
    """
    A, B, a, gamma, strength, sigma, epsilon = STILLINGER_WEBER_SILICON
    vectors, r = _pairs(atoms)
    unit = -vectors / r[..., None]  # from the first atom to the second
    inside = r < a * sigma
    gap = np.where(inside, r - a * sigma, -np.inf)  # below zero
    tail = np.exp(sigma / gap) * inside
    power = B * (sigma / r) ** 4
    pair = epsilon * A * (power - 1) * tail
    slope = -epsilon * A * (4 * power / r + (power - 1) * sigma / gap**2) * tail
    weight = np.exp(gamma * sigma / gap) * inside
    weight_slope = -gamma * sigma / gap**2 * weight
    cosine = np.einsum("ijx,ikx->ijk", unit, unit)
    excess = cosine + 1 / 3
    excess[:, np.arange(len(r)), np.arange(len(r))] = 0.0  # of an atom with itself
    scale = strength * epsilon
    square = np.einsum("ik,ijk->ij", weight, excess**2)
    energy = float(pair.sum() / 2 + scale / 2 * (weight * square).sum())
    radial = slope / 2 + scale * weight_slope * square
    angular = 2 * scale * weight[..., None] * weight[:, None] * excess / r[..., None]
    return energy, _forces_from_vectors(radial, angular, cosine, unit)


def tersoff(atoms: Atoms) -> tuple[float, FloatArray]:
    """Return the energy and forces of carbon: Tersoff, Phys. Rev. B 39, 5566 (1989).

    Args:
        atoms: Free carbon atoms.
    """
    A, B, lambda1, lambda2, beta, n, c, d, h, low, high = TERSOFF_CARBON
    vectors, r = _pairs(atoms)
    unit = -vectors / r[..., None]  # from the first atom to the second
    phase = np.pi * (np.clip(r, low, high) - low) / (high - low)
    cut, cut_slope = (1 + np.cos(phase)) / 2, -np.pi / 2 / (high - low) * np.sin(phase)
    repulsion, attraction = A * np.exp(-lambda1 * r), B * np.exp(-lambda2 * r)
    cosine = np.einsum("ijx,ikx->ijk", unit, unit)
    other = 1 - np.eye(len(r))  # an atom makes no angle with itself
    width = d**2 + (h - cosine) ** 2
    angle = (1 + c**2 / d**2 - c**2 / width) * other
    angle_slope = -2 * c**2 * (h - cosine) / width**2 * other
    zeta = np.einsum("ik,ijk->ij", cut, angle)
    power = (beta * zeta) ** n
    bond = (1 + power) ** (-1 / (2 * n))
    bonded = zeta > 0
    bond_slope = np.zeros_like(zeta)
    bond_slope[bonded] = (-0.5 * bond * power / (1 + power))[bonded] / zeta[bonded]
    energy = float((cut * (repulsion - bond * attraction)).sum() / 2)
    slope = cut_slope * (repulsion - bond * attraction)
    slope += cut * (lambda2 * bond * attraction - lambda1 * repulsion)
    weight = -cut * attraction * bond_slope / 2  # dE / d zeta
    radial = slope / 2 + cut_slope * np.einsum("ij,ijk->ik", weight, angle)
    bending = weight[..., None] * cut[:, None] * angle_slope  # dE / d cos, of bond ij and atom k
    angular = (bending + bending.swapaxes(1, 2)) / r[..., None]
    return energy, _forces_from_vectors(radial, angular, cosine, unit)


def _forces_from_vectors(
    radial: FloatArray, angular: FloatArray, cosine: FloatArray, unit: FloatArray
) -> FloatArray:
    """Return forces from derivatives with respect to the vector from atom i to atom j.

    Args:
        radial: Derivative along the vector, `[a, a]`.
        angular: Derivative with respect to the cosine of the angle j-i-k over the distance of i and
            j, `[a, a, a]`.
        cosine: Cosine of the angle, `[a, a, a]`.
        unit: Direction of the vectors, `[a, a, 3]`.
    """
    slopes = radial - (angular * cosine).sum(-1)
    derivatives = slopes[..., None] * unit + np.einsum("ijk,ikx->ijx", angular, unit)
    forces: FloatArray = derivatives.sum(1) - derivatives.sum(0)
    return forces


def _pairs(atoms: Atoms) -> tuple[FloatArray, FloatArray]:
    """Return the vectors `[a, a, 3]` from the second atom to the first and their lengths, Å.

    An atom is infinitely far from itself.
    """
    P = atoms.get_positions()
    vectors = P[:, None] - P
    r = np.linalg.norm(vectors, axis=-1)
    np.fill_diagonal(r, np.inf)
    return vectors, r


def _sum_pairs(
    vectors: FloatArray, r: FloatArray, energies: FloatArray, slopes: FloatArray
) -> tuple[float, FloatArray]:
    """Return energy and forces from energies of all pairs and their derivatives, `[a, a]`."""
    forces: FloatArray = -((slopes / r)[..., None] * vectors).sum(1)
    return float(energies.sum() / 2), forces
