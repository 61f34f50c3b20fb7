"""Forces that are not the slopes of the energies are told apart from right ones."""

from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, fcc100
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.optimize import BFGS

from bostruct.spaces import Cluster
from bostruct.structures import to_ase
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.force_consistency import MIN_STRUCTURES
from tests.surrogates.local_gp.test_outliers import TETRAHEDRON, displaced, labelled

HARTREE_PER_BOHR = 51.4220674763


def sampled(formula, calculator, n, seed=0):
    space = Cluster(formula)
    X = space.sample(n, torch.Generator().manual_seed(seed))
    return labelled(to_ase(space.decode(X)), calculator)


def slabs(n):
    """Return gold atoms on copper, with the forces on the fixed atoms known as zero."""
    r = torch.Generator().manual_seed(0)
    images = []
    for _ in range(n):
        atoms = fcc100("Cu", (2, 2, 3), vacuum=8.0)
        x, y, z = torch.rand(3, generator=r, dtype=torch.float64).tolist()
        add_adsorbate(atoms, "Au", 1.6 + 0.3 * z, position=(5 * x, 5 * y))
        atoms.positions[-5:] += 0.08 * torch.randn(5, 3, generator=r, dtype=torch.float64).numpy()
        images.append(atoms)
    found = labelled(images, EMT)
    fixed = torch.arange(len(found.numbers)) % 13 < 8
    return replace(found, forces=found.forces.masked_fill(fixed.unsqueeze(-1), 0.0))


def lennard_jones():
    return LennardJones(sigma=2.3, epsilon=100.0, rc=9)


def morse():
    return MorsePotential(epsilon=1.0, r0=2.6, rho0=6.0)


CASES = {
    "rattled": lambda: labelled(displaced(TETRAHEDRON, 0.1, 15), EMT),
    "five": lambda: labelled(displaced(TETRAHEDRON, 0.1, MIN_STRUCTURES), EMT),
    "clusters": lambda: sampled("Cu6", EMT, 12),
    "alloys": lambda: sampled("Cu3Au3", EMT, 20),
    "larger alloys": lambda: sampled("Cu20Au18", EMT, 8, seed=100),
    "Lennard-Jones": lambda: sampled(
        "Cu6", lambda: LennardJones(sigma=2.3, epsilon=100.0, rc=9), 20
    ),
    "Morse": lambda: sampled("Cu7", lambda: MorsePotential(epsilon=1.0, r0=2.6, rho0=6.0), 20),
    "slabs": lambda: slabs(14),
}


@pytest.fixture(scope="module", params=CASES)
def right(request):
    return CASES[request.param]()


def permuted(structures):
    n = int(structures.counts[0])
    order = [*range(1, n), 0]
    rows = torch.cat([torch.tensor(order) + k * n for k in range(len(structures))])
    return structures.forces[rows]


def test_right_forces_agree(right):
    assert not LocalGP().force_consistency(right).sentence()


def test_noise_of_an_honest_size_contradicts_nothing(right):
    r = torch.Generator().manual_seed(0)
    noise = torch.randn(len(right), generator=r, dtype=torch.float64)
    more = torch.randn(right.forces.shape, generator=r, dtype=torch.float64)
    noisy = replace(right, energy=right.energy + 0.001 * noise, forces=right.forces + 0.005 * more)
    assert not LocalGP().force_consistency(noisy).sentence()


WRONG = {
    "factor": (lambda s: 1.3 * s.forces, "is a unit or a conversion wrong"),
    "inverse factor": (lambda s: s.forces / 1.3, "times 1"),
    "sign": (lambda s: -s.forces, "with the other sign: are they gradients"),
    "unit": (lambda s: s.forces / HARTREE_PER_BOHR, "are the forces in Hartree/Bohr"),
    "twice": (lambda s: s.forces * HARTREE_PER_BOHR, "energies deviate"),
    "zero": (lambda s: 0 * s.forces, "are the forces zero, of other structures"),
    "permuted": (permuted, "energies deviate"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_forces_contradict(right, kind):
    change, cause = WRONG[kind]
    consistency = LocalGP().force_consistency(replace(right, forces=change(right)))
    sentence = consistency.sentence()
    assert sentence.startswith("the forces contradict the energies: the energies deviate from")
    assert cause in sentence


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_depends_on_no_unit_and_no_zero(unit):
    found = CASES["alloys"]()
    gold = torch.zeros(20, dtype=torch.float64).index_add(
        0, found.index, (found.numbers > 50).double()
    )
    other = replace(found, energy=unit * found.energy - 777 * gold, forces=unit * found.forces)
    one, two = (LocalGP().force_consistency(s) for s in (found, other))
    assert two.misfit == pytest.approx(one.misfit, rel=1e-3)
    assert two.factor == pytest.approx(one.factor, rel=1e-3)


def test_relaxed_structures_may_have_forces_of_zero():
    """They are far from each other, so that it says nothing of the differences."""
    relaxed = []
    for atoms in to_ase(sampled("Cu7", EMT, 10)):
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.02, steps=100)
        relaxed.append(atoms)
    found = labelled(relaxed, EMT)
    for forces in (found.forces, 0 * found.forces):
        consistency = LocalGP().force_consistency(replace(found, forces=forces))
        assert consistency.misfit > 0.3
        assert not consistency.sentence()


@pytest.mark.parametrize(
    ("formula", "seed", "n"), [("Cu5Au2", 1, 8), ("Pt4Cu4", 2, 8), ("Ag6", 0, 6)]
)
def test_right_forces_of_structures_on_their_way_to_minima(formula, seed, n):
    """As in a campaign: the model knows little of them, and no factor would help it."""
    space = Cluster(formula)
    images = to_ase(space.decode(space.sample(n, torch.Generator().manual_seed(seed))))
    for i, atoms in enumerate(images[2:], 2):
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.05, steps=3 * i)
    consistency = LocalGP().force_consistency(labelled(images, EMT))
    assert consistency.misfit > 0.15
    assert consistency.z > 2
    assert not consistency.sentence()


def test_nothing_to_compare():
    few = labelled(displaced(TETRAHEDRON, 0.1, MIN_STRUCTURES - 1), EMT)
    assert LocalGP().force_consistency(few) is None
    assert LocalGP().force_consistency(replace(few, forces=None)) is None
    flat = labelled([Atoms("Cu2", [(0, 0, 0), (9.0 + k, 0, 0)]) for k in range(8)], EMT)
    assert LocalGP().force_consistency(flat) is None
