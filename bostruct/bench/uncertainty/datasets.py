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
from bostruct.campaign.report.export import export
from bostruct.errors import InputError, check_count, must
from bostruct.evaluators import Calculator, Evaluation
from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase, to_ase

CEILING = 2.0
"""eV per atom. What lies higher has atoms inside each other, and is left out."""

APART = 1.9
"""Å, between atoms that are dropped into a sphere."""

DROPS = 1000
"""For each of them, at most; half of them fall outside."""


@final
@dataclass(frozen=True)
class Law:
    """How labelled clusters are drawn.

    Args:
        formula: Of each.
        steps: Of BFGS from a random cluster, the least and the most.
        shake: Å, the most that a coordinate is moved after that.
        ceiling: eV per atom; what lies higher is left out.
        sphere: Å, radius of a sphere that atoms are dropped into, anywhere but within
            `APART` of each other; None for random clusters as a search begins with.
    """

    formula: str
    steps: tuple[int, int] = (3, 40)
    shake: float = 0.15
    ceiling: float = CEILING
    sphere: float | None = None

    def draw(self, count: int, seed: int = 0) -> Structures:
        """Return `count` labelled clusters.

        Args:
            count: How many.
            seed: Of all that is random.

        Raises:
            InputError: There is no room in the sphere.
        """
        from ase.optimize import BFGS

        check_count("count", count)
        generator = torch.Generator().manual_seed(seed)
        found: list[Structures] = []
        while len(found) < count:
            (atoms,) = to_ase(self._begun(generator))
            atoms.calc = emt()
            low, high = self.steps
            steps = int(torch.randint(low, high + 1, (1,), generator=generator))
            BFGS(atoms, logfile=None).run(fmax=0.01, steps=steps)
            found += self.shaken(from_ase(atoms).without_results(), generator)
        return Structures.cat(found)

    def _begun(self, generator: torch.Generator) -> Structures:
        """Return one structure to be relaxed."""
        from ase import Atoms

        if self.sphere is None:
            space = Cluster(self.formula)
            return space.decode(space.sample(1, generator))
        atoms = Atoms(self.formula)
        places = torch.zeros(0, 3, dtype=torch.float64)
        for _ in range(DROPS * len(atoms)):
            if len(places) == len(atoms):
                break
            one = 2 * torch.rand(1, 3, dtype=torch.float64, generator=generator) - 1
            free = (torch.cdist(self.sphere * one, places) > APART).all()
            if float(one.norm()) <= 1 and bool(free):
                places = torch.cat((places, self.sphere * one))
        if len(places) < len(atoms):
            condition = f"have room for {len(atoms)} atoms, {APART} Å apart"
            raise InputError(must("sphere", condition, self.sphere))
        atoms.positions = places.numpy()
        return from_ase(atoms)

    def shaken(self, one: Structures, generator: torch.Generator) -> list[Structures]:
        """Return one structure shaken and labelled, or nothing where it lies too high.

        Args:
            one: Without energy.
            generator: Of the shaking.
        """
        shape = one.positions.shape
        noise = 2 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1
        moved = replace(one, positions=one.positions + self.shake * noise)
        outcome = Calculator(emt)(moved)
        if not isinstance(outcome, Evaluation):
            return []
        if outcome.energy > self.ceiling * len(one.positions):
            return []
        energy = torch.tensor([outcome.energy], dtype=torch.float64)
        return [replace(moved, energy=energy, forces=outcome.forces)]


def hot(formula: str) -> Law:
    """Return the law of clusters that have hardly relaxed and are shaken far."""
    return Law(formula, steps=(1, 6), shake=0.3, ceiling=3.0)


SETS: Mapping[str, Mapping[str, tuple[Law, int]]] = {
    "cu15": {
        "cu15": (Law("Cu15"), 700),
        "cu15-hot": (hot("Cu15"), 200),
        "cu30": (Law("Cu30"), 200),
    },
    "au5cu10": {
        "au5cu10": (Law("Au5Cu10"), 700),
        "au5cu10-hot": (hot("Au5Cu10"), 200),
        "au10cu20": (Law("Au10Cu20"), 200),
    },
}
"""Data sets by name: files with their laws and how many structures each holds."""


def write(name: str, out: Path, seed: int = 0) -> list[Path]:
    """Make the files of one data set; return their paths.

    Args:
        name: Of the set.
        out: The folder.
        seed: Of all that is random; each file has draws of its own.

    Raises:
        InputError: there is no such set.
        LogError: a file cannot be written.
    """
    if name not in SETS:
        condition = f"be one of {', '.join(SETS)}"
        raise InputError(must("name", condition, repr(name)))
    paths = []
    for place, (stem, (law, count)) in enumerate(SETS[name].items()):
        path = out / f"{stem}.extxyz"
        export(to_ase(law.draw(count, 1000 * place + seed)), path)
        paths.append(path)
    return paths
