"""Tasks over all kinds of matter: noble gases, metals, ions, molecules, adsorbates.

All are searched with one set of defaults. GFN2 is in tblite, which `bostruct[bench]` installs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bostruct.bench.single_objective.interatomic_potentials import (
    born_mayer,
    gupta,
    lennard_jones_mixture,
    stillinger_weber,
    tersoff,
)
from bostruct.bench.single_objective.named_tasks import (
    LENNARD_JONES_SOURCE,
    MORSE_SOURCE,
    TASKS,
    emt,
    reference_structure,
)
from bostruct.bench.single_objective.task import Task
from bostruct.evaluators import Calculator, Evaluator, Function
from bostruct.spaces import Cluster, Space, Surface

ARGON_EPSILON, ARGON_SIGMA = 0.0104, 3.40
"""ε in eV and σ in Å of argon."""

SODIUM_CHLORIDE = {
    "charges": {"Na": 1.0, "Cl": -1.0},
    "repulsion": {
        "Cl-Cl": (3485.3, 0.317),
        "Cl-Na": (1254.7, 0.317),
        "Na-Na": (423.6, 0.317),
    },
}
"""Charges and repulsion of Tosi and Fumi, J. Phys. Chem. Solids 25, 45 (1964), no dispersion."""

MAGNESIUM_OXIDE = {
    "charges": {"Mg": 2.0, "O": -2.0},
    "repulsion": {"Mg-O": (1428.5, 0.2945), "O-O": (22764.3, 0.149)},
}
"""Charges and repulsion of Lewis and Catlow, J. Phys. C 18, 1149 (1985), no dispersion."""

WATER_DISTANCE = 2.9
"""Distance of neighboring oxygen atoms of water molecules at the start, Å."""


REFERENCE_SOURCES = {
    "lj13_binary": (
        "basin hopping: 1,550 relaxations in 110 s, 10 walks, 7 of them there; the next isomer is "
        "0.084 up; 0 of 200 relaxed random structures are there"
    ),
    "au14_gupta": (
        "basin hopping: 373 relaxations in 50 s, both walks there; the next isomer is 96 meV up; "
        "19 of 200 relaxed random structures are there"
    ),
    "pt6ni3cu3": (
        "basin hopping: 966 relaxations in 440 s, both seeds there; the next isomer is 39 meV up; "
        "0 of 400 relaxed random structures are there"
    ),
    "nacl4": (
        "basin hopping: 531 relaxations in 67 s, two seeds; the next isomer is 316 meV up; 207 of "
        "400 relaxed random structures are there, of both seeds"
    ),
    "nacl5": (
        "basin hopping: 1,220 relaxations in 130 s, two seeds, all 9 walks there; the next isomer "
        "is 183 meV up; 308 of 400 relaxed random structures are there, of both seeds"
    ),
    "mgo4": (
        "basin hopping: 468 relaxations in 56 s, two seeds; the next isomer is 47 meV up; 199 of "
        "400 relaxed random structures are there, of both seeds"
    ),
    "si10_sw": (
        "basin hopping: 303 relaxations in 45 s, the walk is there; the next isomer is 1.06 eV up; "
        "94 of 200 relaxed random structures are there"
    ),
    "si12_sw": (
        "basin hopping: 510 relaxations in 126 s, two seeds, the walk is there; the next isomer is "
        "545 meV up; 68 of 400 relaxed random structures are there, of both seeds"
    ),
    "c7_tersoff": (
        "the ring; of 200 relaxed random structures 2 are there, none is lower, and the next is "
        "1.00 eV up"
    ),
    "c8_tersoff": (
        "the ring; of 400 relaxed random structures 2 are there, one of each seed, none is lower, "
        "and the next is 356 meV up"
    ),
    "c9_tersoff": (
        "basin hopping: 600 relaxations in 170 s, two seeds; the next isomer is 27 meV up; 13 of "
        "400 relaxed random structures are there, of both seeds"
    ),
    "h2o3_gfn2": (
        "the lowest of 200 relaxed rings of intact molecules in 495 s, and of a basin hopping with "
        "rigid molecules"
    ),
    "water3": "basin hopping of whole molecules: 99 relaxations in 60 s, both walks there",
    "water4": "basin hopping of whole molecules: 225 relaxations in 201 s, all 4 walks there",
    "water5": "basin hopping of whole molecules: 321 relaxations in 401 s, all 5 walks there",
    "water6": "basin hopping of whole molecules: 314 relaxations in 903 s, 4 of 5 walks there",
    "co_pt111": (
        "the lowest of 400 relaxed random structures in 247 s, two seeds, 73 of them there; the "
        "next 2 meV hold turned copies"
    ),
    "pd4_pt111": (
        "the lowest of 400 relaxed random structures in 521 s, two seeds, 19 of them there; the "
        "same island in the other hollows is 4 meV up, the next is 204 meV up"
    ),
}
"""Search that found the reference of each task, by `reference_search`, and its length."""


def argon() -> Any:  # noqa: ANN401 - ASE
    """Return the Lennard-Jones potential of argon in eV and Å without a cutoff."""
    from ase.calculators.lj import LennardJones

    return LennardJones(
        sigma=ARGON_SIGMA, epsilon=ARGON_EPSILON, rc=100 * ARGON_SIGMA, smooth=False
    )


def lennard_jones_times_ten() -> Any:  # noqa: ANN401 - ASE
    """Return the Lennard-Jones potential with σ = 1 Å and ε = 10 eV, without a cutoff."""
    from ase.calculators.lj import LennardJones

    return LennardJones(sigma=1.0, epsilon=10.0, rc=100.0, smooth=False)


def morse(rho0: float) -> Any:  # noqa: ANN401 - ASE
    """Return the Morse potential with ε = 1 eV and a pair distance of 1 Å.

    Args:
        rho0: Range parameter ρ0; larger values are stiffer and of shorter range.
    """
    from ase.calculators.morse import MorsePotential

    return MorsePotential(epsilon=1.0, r0=1.0, rho0=rho0, rcut1=50.0, rcut2=60.0)


def gfn2() -> Any:  # noqa: ANN401 - ASE
    """Return tblite's GFN2-xTB, J. Chem. Theory Comput. 15, 1652 (2019)."""
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", verbosity=0)


def water_molecules(n: int, seed: int) -> Any:  # noqa: ANN401 - ASE
    """Return intact water molecules, turned at random, as `ase.Atoms`.

    Args:
        n: Number of molecules, whose oxygen atoms lie on a ring.
        seed: Random seed.
    """
    from ase import Atoms
    from ase.build import molecule

    generator = np.random.default_rng(seed)
    radius = WATER_DISTANCE / (2 * np.sin(np.pi / n)) if n > 1 else 0.0
    water = Atoms()
    for k in range(n):
        single = molecule("H2O")
        single.positions -= single.positions[0]
        phi, z, psi = generator.uniform(size=3) * (360.0, 2.0, 360.0) - (0.0, 1.0, 0.0)
        single.euler_rotate(phi, np.degrees(np.arccos(z)), psi)
        angle = 2 * np.pi * k / n
        single.positions += radius * np.array([np.cos(angle), np.sin(angle), 0.0])
        water += single
    return water


def co_on_pt111() -> Space:
    """Return the space of carbon monoxide on two fixed layers of Pt(111)."""
    from ase.build import fcc111

    return Surface(fcc111("Pt", (3, 3, 2), vacuum=8.0), "CO")


def pd4_on_pt111() -> Space:
    """Return the space of four palladium atoms on two fixed layers of Pt(111)."""
    from ase.build import fcc111

    return Surface(fcc111("Pt", (4, 4, 2), vacuum=8.0), "Pd4")


def _task(
    name: str,
    make_space: Callable[[], Space],
    evaluator: Evaluator,
    reference_energy: float,
    tolerance: float,
    source: str = "",
) -> Task:
    lowest = partial(reference_structure, name)
    source = source or REFERENCE_SOURCES[name]
    return Task(name, make_space, evaluator, reference_energy, tolerance, source, lowest)


def _morse_task(name: str, rho0: float, energy: float, source: str) -> Task:
    space = partial(Cluster, "Ar13", atomic_radii={"Ar": 0.5})
    return _task(name, space, Calculator(morse, rho0=rho0), energy, 0.05, source)


def _carbon_task(n: int, energy: float) -> Task:
    name = f"c{n}_tersoff"
    return _task(name, partial(Cluster, f"C{n}"), Function(tersoff), energy, 0.02)


def _silicon_task(n: int, energy: float) -> Task:
    space = partial(Cluster, f"Si{n}")
    return _task(f"si{n}_sw", space, Function(stillinger_weber), energy, 0.05)


def _water_task(n: int, energy: float) -> Task:
    space = partial(Cluster, f"(H2O){n}")
    task = _task(f"h2o{n}_gfn2", space, Calculator(gfn2), energy, 0.02)
    start = partial(water_molecules, n)
    return replace(task, make_start=start, required_module="tblite")


def _molecular_water_task(n: int, energy: float) -> Task:
    """Return the task of n water molecules that stay whole."""
    space = partial(Cluster.of, {"H2O": n})
    task = _task(f"water{n}", space, Calculator(gfn2), energy, 0.02)
    return replace(task, required_module="tblite")


def _ions_task(
    name: str, formula: str, ions: Mapping[str, Any], energy: float, tolerance: float
) -> Task:
    return _task(name, partial(Cluster, formula), Function(born_mayer, ions), energy, tolerance)


MATTER: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task(
            "ar13",
            partial(Cluster, "Ar13", atomic_radii={"Ar": 0.56 * ARGON_SIGMA}),
            Calculator(argon),
            -44.326801 * ARGON_EPSILON,
            0.05 * ARGON_EPSILON,
            LENNARD_JONES_SOURCE,
        ),
        _task(
            "lj13x10",
            partial(Cluster, "Ar13", atomic_radii={"Ar": 0.56}),
            Calculator(lennard_jones_times_ten),
            -443.26801,
            0.5,
            LENNARD_JONES_SOURCE,
        ),
        TASKS["morse13"],
        _morse_task("morse13_10", 10.0, -39.662975, MORSE_SOURCE),
        _morse_task("morse13_14", 14.0, -37.258877, MORSE_SOURCE),
        _task(
            "lj13_binary",
            partial(Cluster, "Ar7Xe6", atomic_radii={"Ar": 0.56, "Xe": 0.73}),
            Function(lennard_jones_mixture, {"sigma": {"Ar": 1.0, "Xe": 1.3}, "epsilon": 1.0}),
            -45.601094,
            0.03,
        ),
        _task("au14_gupta", partial(Cluster, "Au14"), Function(gupta), -45.958276, 0.03),
        TASKS["cu15"],
        TASKS["au5cu10"],
        _task("pt6ni3cu3", partial(Cluster, "Pt6Ni3Cu3"), Calculator(emt), 8.669371, 0.015),
        _ions_task("nacl4", "(NaCl)4", SODIUM_CHLORIDE, -27.954298, 0.05),
        _ions_task("nacl5", "(NaCl)5", SODIUM_CHLORIDE, -35.042329, 0.05),
        _ions_task("mgo4", "(MgO)4", MAGNESIUM_OXIDE, -149.474098, 0.02),
        _silicon_task(10, -29.914573),
        _silicon_task(12, -36.888811),
        _carbon_task(7, -36.162462),
        _carbon_task(8, -41.328528),
        _carbon_task(9, -46.700362),
        _water_task(3, -414.566141),
        _molecular_water_task(3, -414.566141),
        _molecular_water_task(4, -553.066187),
        _molecular_water_task(5, -691.393647),
        _molecular_water_task(6, -829.852221),
        _task("co_pt111", co_on_pt111, Calculator(emt), 5.470127, 0.02),
        _task("pd4_pt111", pd4_on_pt111, Calculator(emt), 11.226175, 0.03),
    )
}
"""Tasks of the suite by name, in order."""
