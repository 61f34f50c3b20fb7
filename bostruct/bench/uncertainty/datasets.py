"""Labeled clusters from a seed, as training and test data.

Random clusters after some steps of BFGS, with randomly displaced coordinates, and EMT energies and
forces. Hot clusters are displaced twice as far and are less relaxed, large ones have twice the
atoms: both are out of the distribution of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from bostruct.bench.single_objective.named_tasks import emt
from bostruct.campaign.report.export import write_structures
from bostruct.errors import InputError, check_choice, check_count, error_message
from bostruct.evaluators import Calculator, Evaluation
from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase, to_ase

MAX_ENERGY_PER_ATOM = 2.0
"""Highest energy of a cluster, eV per atom; above, atoms overlap."""

MIN_DISTANCE = 1.9
"""Smallest distance of atoms placed at random in a sphere, Å."""

MAX_ATTEMPTS_PER_ATOM = 1000
"""Largest number of random points per atom in a sphere; half of the points lie outside."""


@final
@dataclass(frozen=True)
class ClusterDataset:
    """Distribution of labeled clusters.

    Args:
        formula: Chemical formula.
        bfgs_steps: Smallest and largest number of BFGS steps from a random cluster.
        max_displacement: Largest random displacement of a coordinate after that, Å.
        max_energy_per_atom: Highest energy, eV per atom; higher clusters are left out.
        sphere_radius: Radius of a sphere of random atoms at least `MIN_DISTANCE` apart, Å; None
            for the random clusters of `bostruct.spaces.Cluster`.
    """

    formula: str
    bfgs_steps: tuple[int, int] = (3, 40)
    max_displacement: float = 0.15
    max_energy_per_atom: float = MAX_ENERGY_PER_ATOM
    sphere_radius: float | None = None

    def sample(self, n: int, seed: int = 0) -> Structures:
        """Return `n` labeled clusters.

        Args:
            n: Number of clusters.
            seed: Random seed.

        Raises:
            InputError: the sphere is too small.
        """
        from ase.optimize import BFGS

        check_count("n", n)
        generator = torch.Generator().manual_seed(seed)
        clusters: list[Structures] = []
        while len(clusters) < n:
            (atoms,) = to_ase(self._initial_structure(generator))
            atoms.calc = emt()
            low, high = self.bfgs_steps
            steps = int(torch.randint(low, high + 1, (1,), generator=generator))
            BFGS(atoms, logfile=None).run(fmax=0.01, steps=steps)
            clusters += self.displace_and_label(from_ase(atoms).without_results(), generator)
        return Structures.cat(clusters)

    def _initial_structure(self, generator: torch.Generator) -> Structures:
        """Return one random structure to be relaxed."""
        from ase import Atoms

        if self.sphere_radius is None:
            space = Cluster(self.formula)
            return space.decode(space.sample(1, generator))
        atoms = Atoms(self.formula)
        positions = torch.zeros(0, 3, dtype=torch.float64)
        for _ in range(MAX_ATTEMPTS_PER_ATOM * len(atoms)):
            if len(positions) == len(atoms):
                break
            point = 2 * torch.rand(1, 3, dtype=torch.float64, generator=generator) - 1
            free = (torch.cdist(self.sphere_radius * point, positions) > MIN_DISTANCE).all()
            if float(point.norm()) <= 1 and bool(free):
                positions = torch.cat((positions, self.sphere_radius * point))
        if len(positions) < len(atoms):
            condition = f"have room for {len(atoms)} atoms, {MIN_DISTANCE} Å apart"
            raise InputError(error_message("sphere_radius", condition, self.sphere_radius))
        atoms.positions = positions.numpy()
        return from_ase(atoms)

    def displace_and_label(
        self, structure: Structures, generator: torch.Generator
    ) -> list[Structures]:
        """Return one displaced and labeled structure, or none if its energy is too high.

        Args:
            structure: One structure without energy.
            generator: Random generator of the displacements.
        """
        shape = structure.positions.shape
        noise = 2 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1
        moved = replace(structure, positions=structure.positions + self.max_displacement * noise)
        outcome = Calculator(emt)(moved)
        if not isinstance(outcome, Evaluation) or outcome.energy is None:
            return []
        if outcome.energy > self.max_energy_per_atom * len(structure.positions):
            return []
        energy = torch.tensor([outcome.energy], dtype=torch.float64)
        return [replace(moved, energy=energy, forces=outcome.forces)]


def hot_clusters(formula: str) -> ClusterDataset:
    """Return the distribution of hardly relaxed clusters with large displacements."""
    return ClusterDataset(formula, bfgs_steps=(1, 6), max_displacement=0.3, max_energy_per_atom=3.0)


DATASETS: Mapping[str, Mapping[str, tuple[ClusterDataset, int]]] = {
    formula.lower(): {
        formula.lower(): (ClusterDataset(formula), 700),
        f"{formula.lower()}-hot": (hot_clusters(formula), 200),
        large.lower(): (ClusterDataset(large), 200),
    }
    for formula, large in (("Cu15", "Cu30"), ("Au5Cu10", "Au10Cu20"))
}
"""Data sets by name: files with their distributions and numbers of structures."""


def write_dataset(name: str, out: Path, seed: int = 0) -> list[Path]:
    """Write the files of one data set; return their paths.

    Args:
        name: Name of the data set.
        out: Folder of the files.
        seed: Random seed; the files are independent.

    Raises:
        InputError: there is no data set of this name.
        LogError: a file cannot be written.
    """
    paths = []
    files = DATASETS[check_choice("name", name, DATASETS)]
    for i, (stem, (dataset, count)) in enumerate(files.items()):
        path = out / f"{stem}.extxyz"
        write_structures(to_ase(dataset.sample(count, 1000 * i + seed)), path)
        paths.append(path)
    return paths
