"""Tasks of the energy benchmark by name: Lennard-Jones, Morse and EMT clusters, and adatoms.

Lennard-Jones and Morse energies are in units of ε and lengths in units of σ or of the equilibrium
distance of a pair, written as eV and Å.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bostruct.bench.single_objective.task import Task
from bostruct.evaluators import Calculator
from bostruct.spaces import Cluster, Space, Surface

MINIMA_FILE = Path(__file__).with_name("minima.extxyz")

LENNARD_JONES_SOURCE = (
    "Cambridge Cluster Database; D. J. Wales and J. P. K. Doye, J. Phys. Chem. A 101, 5111 (1997)"
)
MORSE_SOURCE = (
    "Cambridge Cluster Database, rho0 = 6; J. P. K. Doye and D. J. Wales, "
    "J. Chem. Soc., Faraday Trans. 93, 4233 (1997)"
)
AU5CU10_SOURCE = (
    "basin hopping with exchanges of unlike atoms: 52,631 relaxations in 550 s, 311 "
    "walks of at least 80 hops, 121 of them there; the next isomers are 4 and 8 meV up"
)
AU8CU8_SOURCE = (
    "basin hopping with exchanges of unlike atoms: 58,168 relaxations in 1,206 s, two "
    "seeds, 280 walks of at least 80 hops, 7 of them there, of both seeds"
)
PT8_AU100_SOURCE = (
    "basin hopping: 18,482 relaxations in 695 s, two seeds, 114 walks of at least 80 "
    "hops, 61 of them there, of both seeds; the next isomer is 152 meV up; 8 of 500 "
    "relaxed random structures are there"
)
NI4_IN_AU100_SOURCE = (
    "basin hopping with exchanges of unlike atoms: 36,012 relaxations in 847 s, two "
    "seeds, 172 walks of at least 80 hops, 45 of them there, of both seeds; the next "
    "isomer is 22 meV up; of 500 relaxed random structures the lowest is 276 meV up"
)
BASIN_HOPPING_SOURCE = "basin hopping with the true energy, several walks agree"


def emt() -> Any:  # noqa: ANN401 - ASE
    """Return ASE's effective-medium calculator."""
    from ase.calculators.emt import EMT

    return EMT()


def lennard_jones() -> Any:  # noqa: ANN401 - ASE
    """Return the Lennard-Jones potential without the cutoff of ASE's default."""
    from ase.calculators.lj import LennardJones

    return LennardJones(sigma=1.0, epsilon=1.0, rc=100.0, smooth=False)


def morse() -> Any:  # noqa: ANN401 - ASE
    """Return the Morse potential of range ρ0 = 6."""
    from ase.calculators.morse import MorsePotential

    return MorsePotential(epsilon=1.0, r0=1.0, rho0=6.0, rcut1=50.0, rcut2=60.0)


def reference_structure(name: str) -> Any:  # noqa: ANN401 - ASE
    """Return the stored lowest structure of a task as `ase.Atoms`."""
    from ase.io import iread

    frames = iread(MINIMA_FILE, index=":", format="extxyz")
    return next(atoms for atoms in frames if atoms.info["name"] == name)


def _lennard_jones_task(n: int, reference_energy: float) -> Task:
    space = partial(Cluster, f"Ar{n}", atomic_radii={"Ar": 0.56})
    evaluator = Calculator(lennard_jones)
    return Task(f"lj{n}", space, evaluator, reference_energy, 0.05, LENNARD_JONES_SOURCE)


def _morse_task(n: int, reference_energy: float) -> Task:
    space = partial(Cluster, f"Ar{n}", atomic_radii={"Ar": 0.5})
    return Task(f"morse{n}", space, Calculator(morse), reference_energy, 0.05, MORSE_SOURCE)


def _emt_task(formula: str, reference_energy: float) -> Task:
    space = partial(Cluster, formula)
    return Task(
        formula.lower(), space, Calculator(emt), reference_energy, 0.04, BASIN_HOPPING_SOURCE
    )


def _task_with_structure(
    name: str,
    make_space: Callable[[], Space],
    reference_energy: float,
    tolerance: float,
    source: str,
) -> Task:
    lowest = partial(reference_structure, name)
    return Task(name, make_space, Calculator(emt), reference_energy, tolerance, source, lowest)


def ni5_on_au100() -> Space:
    """Return the space of five nickel atoms on two fixed layers of Au(100)."""
    from ase.build import fcc100

    return Surface(fcc100("Au", (3, 3, 2), vacuum=5.0), "Ni5")


def pt8_on_au100() -> Space:
    """Return the space of eight platinum atoms on two fixed layers of Au(100)."""
    from ase.build import fcc100

    return Surface(fcc100("Au", (4, 3, 2), vacuum=8.0), "Pt8")


def ni4_in_au100() -> Space:
    """Return the space of four nickel atoms on Au(100) with a free top layer.

    Nickel enters the layer, and the gold that it replaces forms an island.
    """
    from ase.build import fcc100
    from ase.constraints import FixAtoms

    slab = fcc100("Au", (3, 3, 2), vacuum=8.0)
    slab.set_constraint(FixAtoms([atom.index for atom in slab if atom.tag == 2]))
    return Surface(slab, "Ni4")


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _lennard_jones_task(7, -16.505384),
        _lennard_jones_task(13, -44.326801),
        _lennard_jones_task(19, -72.659782),
        _lennard_jones_task(26, -108.315616),
        _morse_task(13, -42.439863),
        _emt_task("Cu8", 7.3055),
        _emt_task("Cu13", 9.3614),
        _emt_task("Cu15", 10.6575),
        _emt_task("Au10", 5.6181),
        _task_with_structure(
            "au5cu10", partial(Cluster, "Au5Cu10"), 8.980409, 0.015, AU5CU10_SOURCE
        ),
        _task_with_structure("au8cu8", partial(Cluster, "Au8Cu8"), 8.674517, 0.016, AU8CU8_SOURCE),
        Task("ni5_au100", ni5_on_au100, Calculator(emt), 9.8433, 0.04, BASIN_HOPPING_SOURCE),
        _task_with_structure("pt8_au100", pt8_on_au100, 10.459044, 0.04, PT8_AU100_SOURCE),
        _task_with_structure("ni4_in_au100", ni4_in_au100, 7.709965, 0.015, NI4_IN_AU100_SOURCE),
    )
}
"""Tasks by name."""
