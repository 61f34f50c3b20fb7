"""Energies far below all others that the others contradict: holes.

One energy that is too low attracts a search and, trusted, ruins the model of all structures near
it. That an energy is low is no evidence, as low energies are what a search is for; that a model of
the other structures rules it out is. So there are two stages.

    isolated       energies below a gap wider than the spread of the middle half of all
    contradicted   of these, those that a Gaussian process of the others excludes, and no second
                   one near by confirms

Energies are compared after a fit to the composition by least absolute deviations, and the model is
fitted to them in units of their own spread, so that neither the unit nor the zero of the energies
of the elements matters.

Notation
    b, k        structures, isolated ones among them
    d  [k]      deviations of their energies from what the others predict
    C  [k, k]   latent covariance of their energies given the others
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from bostruct.structures.composition_residuals import ROUNDING, composition_residuals
from bostruct.surrogates.local_gp.model import LocalGPModel
from bostruct.surrogates.local_gp.prior_variance import energy_variances
from bostruct.surrogates.training_data import species_counts

MIN_OTHERS = 6
"""Smallest number of other energies that can contradict one."""

MAX_OTHERS = 60
"""Largest number of other structures in the model that judges, those most similar."""

MAX_Z = 10.0
"""Deviation in standard deviations above which an energy is contradicted: few data may have found
standard deviations too small by a factor of several."""

MIN_NOVELTY = 1e-4
"""Part of the prior variance of an energy that the environments of the others do not explain, from
which on a second low energy confirms it. Copies displaced by some tenths of an Ångström have less
than 1e-5, another arrangement of all atoms more than 1e-2."""

MIN_NOISE_PART = 0.1
"""Least part of the noise variance that is left where one energy is predicted without itself."""

CONFIRMED_FRACTION = 0.3
"""Part of its deviation that another isolated energy must leave unexplained at most."""


def isolated_energies(energy: Tensor, counts: Tensor) -> Tensor:
    """Return the rows of energies isolated below the others, the highest of them first, `[k]`.

    Args:
        energy: `[b]`, in any unit.
        counts: `[b, species]` numbers of atoms of each species.
    """
    none = torch.zeros(0, dtype=torch.int64)
    b = len(energy)
    if b <= MIN_OTHERS:
        return none
    value = composition_residuals(energy, counts) / counts.sum(-1)
    ordered, order = value.sort(stable=True)
    quarter = b // 4
    spread = float(ordered[b - 1 - quarter] - ordered[quarter])
    gaps = ordered[1 : quarter + 1] - ordered[:quarter]
    if not spread > ROUNDING * float((energy / counts.sum(-1)).abs().max()):
        return none  # the data do not tell a scale
    wide = (gaps > spread).nonzero().flatten()
    return order[: int(wide[-1]) + 1].flip(0) if len(wide) else none


def contradicted_energies(
    fit: Callable[[Structures], LocalGPModel],
    soap: SOAP,
    structures: Structures,
    trusted: Tensor | None = None,
) -> Tensor:
    """Return the rows of structures whose energies the others contradict, sorted, `[k]`.

    Args:
        fit: Fit of the model that judges, without a pair prior.
        soap: Descriptor that tells which structures are similar.
        structures: b structures with `energy`, eV, and `forces`, eV/Å, where there are any.
        trusted: `[b]` bool, structures that are not judged; none by default.
    """
    assert structures.energy is not None
    species, species_index = structures.numbers.unique(return_inverse=True)
    counts = species_counts(structures, species_index, len(species))
    isolated = isolated_energies(structures.energy, counts).tolist()
    if trusted is not None:
        isolated = [row for row in isolated if not bool(trusted[row])]
    scaled = in_units_of_spread(structures, counts) if isolated else structures
    while isolated:
        others = scaled[_most_similar(soap, scaled, isolated)]
        contradicted = _is_contradicted(fit(others), others, scaled[isolated]).tolist()
        if all(contradicted):
            break
        isolated = [row for row, flag in zip(isolated, contradicted, strict=True) if flag]
    return torch.tensor(sorted(isolated), dtype=torch.int64)


def _is_contradicted(model: LocalGPModel, others: Structures, judged: Structures) -> Tensor:
    """Return which of the isolated energies the model of the others contradicts, `[k]` bool."""
    prediction = model.predict(judged, covariance=True)
    assert prediction.covariance is not None
    assert judged.energy is not None
    d, C = judged.energy - prediction.mean, prediction.covariance
    noise = model.fitted.energy_noise_std**2 * judged.counts
    z = d / (C.diagonal() + noise).sqrt()
    explained = C / C.diagonal() * d  # [k, k] of row i by row j
    is_explained = (d.unsqueeze(-1) - explained).abs() < CONFIRMED_FRACTION * d.abs().unsqueeze(-1)
    is_explained &= ~torch.eye(len(d), dtype=torch.bool, device=d.device)
    confirmed = (is_explained & is_explained.T).any(-1) & (_novelty(model, judged) > MIN_NOVELTY)
    return (z < -MAX_Z * _misfit(model, others)) & ~confirmed


def _misfit(model: LocalGPModel, structures: Structures) -> float:
    """Return the root mean square z of the energies of a model, each left out, at least 1.

    It is large where energies depend on what the descriptor does not see. The highest quarter of
    the energies, which a fit trusts less, does not count. With a residual r of noise variance d and
    latent variance v, z² = r² / (d - v).
    """
    assert structures.energy is not None
    prediction = model.predict(structures)
    r = structures.energy - prediction.mean
    d = model.fitted.energy_noise_std**2 * structures.counts
    z2 = r.square() / (d - prediction.variance).clamp(min=MIN_NOISE_PART * d)
    lowest = (structures.energy / structures.counts).argsort()[: -(-3 * len(r) // 4)]
    return max(1.0, float(z2[lowest].mean().sqrt()))


def _novelty(model: LocalGPModel, structures: Structures) -> Tensor:
    """Return the part of the prior variance of each energy that no noise-free data explain, `[b]`.

    Nothing but the structures of the model determines it, whatever the hyperparameters are.
    """
    with torch.no_grad():
        P, b = model.soap(structures), len(structures)
        species_index = model.soap.species_index(structures.numbers)
        K = model.inducing.energy_covariances(P, species_index, structures.index, b)
        prior = energy_variances(P, species_index, structures.counts, model.kernel)
        return 1 - model.inducing.whiten(K).square().sum(-1) / prior


def _most_similar(soap: SOAP, structures: Structures, isolated: list[int]) -> list[int]:
    """Return at most `MAX_OTHERS` rows that are not isolated, those most similar to them."""
    others = [row for row in range(len(structures)) if row not in set(isolated)]
    if len(others) <= MAX_OTHERS:
        return others
    with torch.no_grad():
        P = soap(structures)
    means = P.new_zeros(len(structures), P.shape[-1]).index_add(0, structures.index, P)
    means = torch.nn.functional.normalize(means, dim=-1)
    similarity = (means[others] @ means[isolated].T).amax(-1)
    nearest = similarity.argsort(descending=True, stable=True)[:MAX_OTHERS].sort().values
    return [others[i] for i in nearest.tolist()]


def in_units_of_spread(structures: Structures, counts: Tensor) -> Structures:
    """Return structures with the energies less those of their composition, in a natural unit.

    The unit is the median absolute deviation, where more than half of the energies are equal that
    of the others, and forces are in this unit per Å. Energies that are all equal become NaN.
    Stresses are left out.

    Args:
        structures: b structures with `energy`.
        counts: `[b, species]` numbers of atoms of each species.
    """
    assert structures.energy is not None
    residual = composition_residuals(structures.energy, counts)
    size = residual.abs()
    tells = size > ROUNDING * structures.energy.abs().median()
    unit = size.median() if tells.sum() > len(size) / 2 else size[tells].median()
    forces = None if structures.forces is None else structures.forces / unit
    return replace(structures, energy=residual / unit, forces=forces, stress=None)
