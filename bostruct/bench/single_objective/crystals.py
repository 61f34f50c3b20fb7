"""Tasks of crystals with a variable cell: noble gas, metals, ions, covalent crystals.

All are searched with one set of defaults: the formula, a guess of the volume and, for ions, of the
shortest distances are given. Under a pressure the reference is an enthalpy. The potential of SiC is
in matscipy, which `bostruct[bench]` installs, CHGNet comes with `bostruct[chgnet]`, SevenNet with
`bostruct[sevennet]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bostruct.bench.single_objective.crystal_potentials import (
    RigidIons,
    StillingerWeber,
    matsui_akaogi,
)
from bostruct.bench.single_objective.named_tasks import emt, reference_structure
from bostruct.bench.single_objective.task import Task
from bostruct.evaluators import Calculator
from bostruct.spaces import Crystal
from bostruct.spaces.formula import parse_formula


def lennard_jones_crystal() -> Any:  # noqa: ANN401 - ASE
    """Return the Lennard-Jones potential with σ = 2.5 Å and ε = 0.1 eV, smooth to 4 σ."""
    from ase.calculators.lj import LennardJones

    return LennardJones(sigma=2.5, epsilon=0.1, rc=10.0, ro=8.0, smooth=True)


def sodium_chloride() -> RigidIons:
    """Return a potential of NaCl: full charges and Buckingham.

    C. R. A. Catlow, K. M. Diller and M. J. Norgett, J. Phys. C 10, 1395 (1977).
    """
    return RigidIons(
        charges={"Na": 1.0, "Cl": -1.0},
        buckingham={"Cl-Na": (2314.7, 0.2903, 0.0), "Cl-Cl": (1227.2, 0.3214, 29.06)},
        walls={"Na-Na": 1.7, "Cl-Na": 1.55, "Cl-Cl": 2.1},
    )


def strontium_titanate() -> RigidIons:
    """Return a potential of SrTiO₃: full charges and Buckingham, no shells.

    M. J. Akhtar, Z.-U.-N. Akhtar, R. A. Jackson and C. R. A. Catlow, J. Am. Ceram. Soc. 78, 421
    (1995).
    """
    return RigidIons(
        charges={"Sr": 2.0, "Ti": 4.0, "O": -2.0},
        buckingham={
            "O-Sr": (776.84, 0.35867, 0.0),
            "O-Ti": (877.20, 0.38096, 9.0),
            "O-O": (22764.3, 0.149, 43.0),
        },
        walls={
            "Sr-Sr": 2.2,
            "Sr-Ti": 2.0,
            "Ti-Ti": 1.9,
            "O-Sr": 1.55,
            "O-Ti": 1.30,
            "O-O": 1.75,
        },
        wall_energy=30.0,
    )


def spinel() -> RigidIons:
    """Return a potential of MgAl₂O₄: full charges and Buckingham, no shells.

    G. V. Lewis and C. R. A. Catlow, J. Phys. C 18, 1149 (1985).
    """
    return RigidIons(
        charges={"Mg": 2.0, "Al": 3.0, "O": -2.0},
        buckingham={
            "Mg-O": (1428.5, 0.29453, 0.0),
            "Al-O": (1114.9, 0.3118, 0.0),
            "O-O": (22764.0, 0.149, 27.88),
        },
        walls={
            "Mg-Mg": 1.7,
            "Al-Mg": 1.7,
            "Al-Al": 1.7,
            "Mg-O": 1.35,
            "Al-O": 1.25,
            "O-O": 1.7,
        },
        wall_energy=30.0,
    )


def tersoff_silicon_carbide() -> Any:  # noqa: ANN401 - ASE
    """Return matscipy's potential of SiC by Tersoff, Phys. Rev. B 39, 5566 (1989)."""
    from matscipy.calculators.manybody import Manybody
    from matscipy.calculators.manybody.explicit_forms import TersoffBrenner
    from matscipy.calculators.manybody.explicit_forms.tersoff_brenner import (
        Tersoff_PRB_39_5566_Si_C,
    )

    return Manybody(**TersoffBrenner(Tersoff_PRB_39_5566_Si_C))


def chgnet() -> Any:  # noqa: ANN401 - ASE
    """Return CHGNet, a universal potential, whose weights come with its package.

    B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023).
    """
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


def sevennet() -> Any:  # noqa: ANN401 - ASE
    """Return SevenNet-0, a universal potential, whose weights come with its package.

    Y. Park, J. Kim, S. Hwang and S. Han, J. Chem. Theory Comput. 20, 4857 (2024).
    """
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator("7net-0", device="cpu")


def _task(
    name: str,
    formula: str,
    calculator: Any,  # noqa: ANN401 - ASE
    volume: float,
    energy_per_atom: float,
    tolerance_per_atom: float,
    *,
    source: str,
    min_distance: Mapping[str, float] | None = None,
    pressure: float = 0.0,
    required_module: str = "",
    required_extra: str = "bench",
) -> Task:
    space = partial(
        Crystal, formula, volume=volume, min_distance=min_distance, pressure=pressure * GPA
    )
    a = len(parse_formula(formula, min_atoms=1))
    return Task(
        name,
        space,
        Calculator(calculator),
        a * energy_per_atom,
        a * tolerance_per_atom,
        source,
        partial(reference_structure, name),
        required_module=required_module,
        required_extra=required_extra,
    )


GPA = 1 / 160.21766208
"""Gigapascal, eV/Å³."""

CRYSTALS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task(
            *("ar4_crystal", "Ar4", lennard_jones_crystal, 14.35, -0.841475, 0.001),
            source="hcp; fcc, 0.2 meV/atom up, counts, bcc is 37 meV/atom up",
        ),
        _task(
            *("cu2pt2_crystal", "Cu2Pt2", emt, 13.2, -0.123729, 0.003),
            source="B19; L1_0, 1.8 meV/atom up, counts, B2 is 16 meV/atom up",
        ),
        _task(
            *("nacl4_crystal", "Na4Cl4", sodium_chloride, 22.0, -4.052543, 0.005),
            min_distance={"Na-Na": 3.0, "Cl-Na": 2.2, "Cl-Cl": 3.0},
            source="rock salt; wurtzite is 41 meV/atom up",
        ),
        _task(
            *("tio2_crystal", "Ti2O4", matsui_akaogi, 10.5, -13.257194, 0.005),
            min_distance={"Ti-Ti": 2.4, "O-Ti": 1.6, "O-O": 2.0},
            source="rutile",
        ),
        _task(
            *("srtio3_crystal", "SrTiO3", strontium_titanate, 11.9, -29.840313, 0.005),
            min_distance={
                "Sr-Sr": 3.0,
                "Sr-Ti": 2.6,
                "Ti-Ti": 3.0,
                "O-Sr": 2.1,
                "O-Ti": 1.6,
                "O-O": 2.1,
            },
            source="cubic perovskite",
        ),
        _task(
            *("si8_crystal", "Si8", StillingerWeber, 20.0, -4.336520, 0.005),
            source="diamond; beta tin is 200 meV/atom up",
        ),
        _task(
            *("sic4_crystal", "Si4C4", tersoff_silicon_carbide, 10.1, -6.164666, 0.005),
            source="zincblende, or wurtzite, of equal energy",
            required_module="matscipy",
        ),
        _task(
            *("nacl4_20gpa", "Na4Cl4", sodium_chloride, 15.0, -1.922476, 0.005),
            min_distance={"Na-Na": 2.4, "Cl-Na": 2.0, "Cl-Cl": 2.6},
            pressure=20.0,
            source="CsCl; rock salt is 117, B8 152 meV/atom up, B3, B10 and B33 relax to CsCl",
        ),
        _task(
            *("si8_25gpa", "Si8", StillingerWeber, 15.5, -1.622302, 0.005),
            pressure=25.0,
            source="BC8; a structure in I4_122 is 7, bct5 62, diamond 112 meV/atom up",
        ),
        _task(
            *("ti4o8_60gpa", "Ti4O8", matsui_akaogi, 8.2, -9.975126, 0.005),
            min_distance={"Ti-Ti": 2.2, "O-Ti": 1.5, "O-O": 1.8},
            pressure=60.0,
            source="pyrite type; cotunnite is 25, baddeleyite 44, columbite 133 meV/atom up",
        ),
        _task(
            *("spinel_crystal", "Mg2Al4O8", spinel, 9.3, -28.935478, 0.005),
            min_distance={
                "Mg-Mg": 2.2,
                "Al-Mg": 2.2,
                "Al-Al": 2.2,
                "Mg-O": 1.6,
                "Al-O": 1.5,
                "O-O": 2.0,
            },
            source="normal spinel; the inverse one is 117 meV/atom up",
        ),
        _task(
            *("tio2_chgnet", "Ti2O4", chgnet, 10.5, -9.409182, 0.005),
            min_distance={"Ti-Ti": 2.4, "O-Ti": 1.6, "O-O": 2.0},
            source="anatase, as of PBE; rutile is 20 meV/atom up",
            required_module="chgnet",
            required_extra="chgnet",
        ),
        _task(
            *("tio2_sevennet", "Ti2O4", sevennet, 10.5, -8.963580, 0.005),
            min_distance={"Ti-Ti": 2.4, "O-Ti": 1.6, "O-O": 2.0},
            source="anatase, the lowest of 19 relaxed random symmetric crystals and of four "
            "polymorphs; the next crystal is 12, columbite 20, rutile 33 meV/atom up",
            required_module="sevenn",
            required_extra="sevennet",
        ),
    )
}
"""Tasks of the suite by name, in order."""
