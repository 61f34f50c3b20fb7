"""Labelled clusters, made anew from a seed: data to judge models on.

They are as they come in a search: random clusters after some steps of BFGS, each
coordinate shaken, with EMT energies and forces. Hot ones are shaken twice as far and
have hardly relaxed, large ones have twice the atoms: what a model meets when it leaves
the data that it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from bostruct.bench.single_objective.named_tasks import emt
from bostruct.campaign.report.export import write_structures
from bostruct.errors import InputError, check_count, error_message
from bostruct.evaluators import Calculator, Evaluation
from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase, to_ase

MAX_ENERGY_PER_ATOM = 2.0
"""eV per atom. What lies higher has atoms inside each other, and is left out."""

MIN_DISTANCE = 1.9
"""Å, between atoms that are dropped into a sphere."""

MAX_ATTEMPTS_PER_ATOM = 1000
"""For each of them, at most; half of them fall outside."""


@final
@dataclass(frozen=True)
class ClusterDataset:
    """How labelled clusters are drawn.

    Args:
        formula: Of each.
        bfgs_steps: Of BFGS from a random cluster, the least and the most.
        max_displacement: Å, the most that a coordinate is moved after that.
        max_energy_per_atom: eV per atom; what lies higher is left out.
        sphere_radius: Å, radius of a sphere that atoms are dropped into, anywhere but within
            `APART` of each other; None for random clusters as a search begins with.
    """

    formula: str
    bfgs_steps: tuple[int, int] = (3, 40)
    max_displacement: float = 0.15
    max_energy_per_atom: float = MAX_ENERGY_PER_ATOM
    sphere_radius: float | None = None

    def sample(self, n: int, seed: int = 0) -> Structures:
        """Return `n` labelled clusters.

        Args:
            n: How many.
            seed: Of all that is random.

        Raises:
            InputError: There is no room in the sphere.
        """
        from ase.optimize import BFGS

        check_count("n", n)
        generator = torch.Generator().manual_seed(seed)
        found: list[Structures] = []
        while len(found) < n:
            (atoms,) = to_ase(self._initial_structure(generator))
            atoms.calc = emt()
            low, high = self.bfgs_steps
            steps = int(torch.randint(low, high + 1, (1,), generator=generator))
            BFGS(atoms, logfile=None).run(fmax=0.01, steps=steps)
            found += self.displace_and_label(from_ase(atoms).without_results(), generator)
        return Structures.cat(found)

    def _initial_structure(self, generator: torch.Generator) -> Structures:
        """Return one structure to be relaxed."""
        from ase import Atoms

        if self.sphere_radius is None:
            space = Cluster(self.formula)
            return space.decode(space.sample(1, generator))
        atoms = Atoms(self.formula)
        places = torch.zeros(0, 3, dtype=torch.float64)
        for _ in range(MAX_ATTEMPTS_PER_ATOM * len(atoms)):
            if len(places) == len(atoms):
                break
            one = 2 * torch.rand(1, 3, dtype=torch.float64, generator=generator) - 1
            free = (torch.cdist(self.sphere_radius * one, places) > MIN_DISTANCE).all()
            if float(one.norm()) <= 1 and bool(free):
                places = torch.cat((places, self.sphere_radius * one))
        if len(places) < len(atoms):
            condition = f"have room for {len(atoms)} atoms, {MIN_DISTANCE} Å apart"
            raise InputError(error_message("sphere_radius", condition, self.sphere_radius))
        atoms.positions = places.numpy()
        return from_ase(atoms)

    def displace_and_label(
        self, structure: Structures, generator: torch.Generator
    ) -> list[Structures]:
        """Return one structure shaken and labelled, or nothing where it lies too high.

        Args:
            structure: Without energy.
            generator: Of the shaking.
        """
        shape = structure.positions.shape
        noise = 2 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1
        moved = replace(structure, positions=structure.positions + self.max_displacement * noise)
        outcome = Calculator(emt)(moved)
        if not isinstance(outcome, Evaluation):
            return []
        if outcome.energy > self.max_energy_per_atom * len(structure.positions):
            return []
        energy = torch.tensor([outcome.energy], dtype=torch.float64)
        return [replace(moved, energy=energy, forces=outcome.forces)]


def hot_clusters(formula: str) -> ClusterDataset:
    """Return the law of clusters that have hardly relaxed and are shaken far."""
    return ClusterDataset(formula, bfgs_steps=(1, 6), max_displacement=0.3, max_energy_per_atom=3.0)


DATASETS: Mapping[str, Mapping[str, tuple[ClusterDataset, int]]] = {
    "cu15": {
        "cu15": (ClusterDataset("Cu15"), 700),
        "cu15-hot": (hot_clusters("Cu15"), 200),
        "cu30": (ClusterDataset("Cu30"), 200),
    },
    "au5cu10": {
        "au5cu10": (ClusterDataset("Au5Cu10"), 700),
        "au5cu10-hot": (hot_clusters("Au5Cu10"), 200),
        "au10cu20": (ClusterDataset("Au10Cu20"), 200),
    },
}
"""Data sets by name: files with their laws and how many structures each holds."""


def write_dataset(name: str, out: Path, seed: int = 0) -> list[Path]:
    """Make the files of one data set; return their paths.

    Args:
        name: Of the set.
        out: The folder.
        seed: Of all that is random; each file has draws of its own.

    Raises:
        InputError: there is no such set.
        LogError: a file cannot be written.
    """
    if name not in DATASETS:
        condition = f"be one of {', '.join(DATASETS)}"
        raise InputError(error_message("name", condition, repr(name)))
    paths = []
    for place, (stem, (law, count)) in enumerate(DATASETS[name].items()):
        path = out / f"{stem}.extxyz"
        write_structures(to_ase(law.sample(count, 1000 * place + seed)), path)
        paths.append(path)
    return paths
