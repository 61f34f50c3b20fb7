"""What a network is given: standardised descriptors, and energies less what is known.

Notation
    n, f, d   atoms, features of the descriptor, inputs of the network
    P    [n, f]   1     descriptors
    m    [s, f]   1     their means, for each species
    C    [f, f]   1     covariance of P about m in the data, every atom shaken a little
    B    [f, d]   1     C = U diag(u²) U^T,  B = U / sqrt(u_1 u)
    x    [n, d]   1     (P - m) B

The inputs are the principal components of the descriptor; one of deviation u enters
with deviation sqrt(u / u_1). With u itself a network hardly sees the fine differences,
and with all deviations equal it sees little else: for the root the energies of held-out
clusters were ten times better than for equal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from bostruct.surrogates.pair_repulsion import Repulsion
from bostruct.surrogates.training_data import Observations

SHAKE = 0.02  # of the cut-off: what atoms are imagined to be shaken by
SMALL = 1e-6  # of the largest deviation: components below are noise
LEAST = 1e-6  # deviation of a component of data that do not vary
NUMBERS = ("mean", "basis", "radii", "constants", "scale")


@final
@dataclass(frozen=True, eq=False)
class Encoder:
    """Descriptor, standardisation, and the prior mean of the energy.

    Attributes:
        soap: the descriptor.
        mean: `[species, f]`, m.
        basis: `[f, d]`, B.
        radii: `[species]` Å.
        constants: `[species]` eV, mean energy of an atom of each species.
        scale: eV, the typical force times 1 Å, unit of the network's outputs.
        repulsion: the pair prior, or None.
    """

    soap: SOAP
    mean: Tensor
    basis: Tensor
    radii: Tensor
    constants: Tensor
    scale: Tensor
    repulsion: Repulsion | None

    def __call__(self, structures: Structures) -> tuple[Tensor, Tensor]:
        """Return the inputs `[n, d]` and the species `[n]` of all atoms.

        Slopes with the positions of fixed atoms lack what these do to each other.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        place = self.soap.place(structures.numbers)
        P = self.soap(structures, self.soap.base(structures))
        return (P - self.mean[place]) @ self.basis, place

    def prior(self, structures: Structures, place: Tensor) -> Tensor:
        """Return the prior mean `[b]` eV, differentiable in the positions."""
        energy = self.constants.new_zeros(len(structures))
        energy = energy.index_add(0, structures.index, self.constants[place])
        if self.repulsion is None:
            return energy
        return energy + self.repulsion(structures, self.radii[place])

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        soap, wall = self.soap, self.repulsion
        double = torch.float64
        pair = [0.0, 0.0] if wall is None else [wall.strength, wall.reach]
        lengths = [soap.cutoff, soap.center, soap.alchemy]
        return {
            "species": torch.tensor(soap.species),
            "sizes": torch.tensor([soap.radial, soap.angular]),
            "lengths": torch.tensor(lengths, dtype=double),
            "repulsion": torch.tensor(pair, dtype=double),
        } | {name: getattr(self, name) for name in NUMBERS}

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> Encoder:
        """Return the encoder that `tensors` were taken from."""
        radial, angular = state["sizes"].tolist()
        cutoff, center, alchemy = state["lengths"].tolist()
        species = tuple(state["species"].tolist())
        strength, reach = state["repulsion"].tolist()
        return cls(
            SOAP(species, cutoff, radial, angular, center, alchemy),
            repulsion=Repulsion(strength, reach) if strength else None,
            **{name: state[name] for name in NUMBERS},
        )

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers of it that a person wants to see, units in the names."""
        found = {
            "cutoff_angstrom": self.soap.cutoff,
            "inputs": float(self.basis.shape[1]),
            "scale_eV": float(self.scale),
        }
        for number, value in zip(self.soap.species, self.constants, strict=True):
            found[f"energy_per_atom_of_Z{number}_eV"] = float(value)
        return found


def standardise(
    soap: SOAP, data: Observations, components: int
) -> tuple[Tensor, Tensor]:
    """Return m `[species, f]` and B `[f, d]`, d at most `components`."""
    place = soap.place(data.structures.numbers)
    rows = []
    shaken = data.energy.new_zeros(soap.size, soap.size)
    for part in data.chunks():
        if bool(part.forces.isfinite().any()):
            slopes = soap.slopes(part.structures)
            flat = slopes.slopes.flatten(0, 1)
            shaken += flat.T @ flat
            rows.append(slopes.features)
        else:
            rows.append(soap(part.structures))
    P = torch.cat(rows).detach()
    hot = torch.nn.functional.one_hot(place, len(soap.species)).to(P)
    mean = (hot.T @ P) / hot.sum(0).clamp(min=1).unsqueeze(-1)
    X = P - mean[place]
    C = (X.T @ X + (SHAKE * soap.cutoff) ** 2 * shaken) / len(P)
    values, vectors = torch.linalg.eigh(C)
    u = values.flip(0).clamp(min=0).sqrt()
    count = max(1, min(components, int((u > SMALL * u[0]).sum())))
    u = u[:count].clamp(min=LEAST)
    return mean, (vectors.flip(1)[:, :count] / (u[0] * u).sqrt()).contiguous()
