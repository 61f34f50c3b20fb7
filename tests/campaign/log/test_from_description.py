import json
import math
import os
import sqlite3
from dataclasses import fields, replace

import pytest
import torch
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms

from bostruct.campaign import Campaign, Evaluations
from bostruct.campaign.log.from_description import build_from_description, open_log
from bostruct.campaign.log.verify import verify_log
from bostruct.candidates import BasinHopping
from bostruct.errors import LogError
from bostruct.evaluators import Evaluation
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.spaces import Cluster, Composition, Lattice, Pool, Surface
from bostruct.structures import Structures
from bostruct.surrogates import EmbeddingTerm, LocalGP
from tests.campaign.standin import campaign

PRICE = {"Cu": 6.0, "Pd": 40000.0, "Au": 50000.0}


def test_a_space_is_rebuilt():
    for space in (
        Cluster("Cu3"),
        Cluster("Cu2Au", radius=4.0, min_distance={"Cu-Au": 2.0}),
        Cluster("Ar7", atomic_radii={"Ar": 0.56}),
        Cluster("C2H6"),
        Cluster("(H2O)2"),
        Cluster("CuO", max_gap_factor=math.inf),
        Cluster.of({"H2O": 2, "Na": 1}),
        Cluster.of([(molecule("CH3CH2OH"), 1), "H2O"], allow_reactions=True, radius=8.0),
        Composition(["Cu", "Pd", "Au"], step={"Cu": 1 / 8, "Pd": 1 / 4, "Au": 1 / 8}),
        Composition(["Cu", "Pd"], bounds={"Cu": (0.2, 0.5)}, parent=bulk("Cu").repeat(3)),
        Composition(["Cu", "Pd", "Au"], step=1 / 8, n_components=2, price=PRICE),
        Lattice(bulk("NiO", "rocksalt", 4.2, cubic=True), {"Ni": ["Ni", "Mg"], "O": ["O", "X"]}),
        Lattice(bulk("Cu", cubic=True), {"Cu": ["Cu", "Au"]}, counts={"Cu": {"Cu": 2, "Au": 2}}),
        Lattice(fcc111("Cu", (2, 2, 3), vacuum=8.0), {"Cu": ["Cu", "Au"]}),
        Lattice(slab(4), {"Pd": ["Pd", "Au"]}),
    ):
        assert_same_space(space)


def assert_same_space(space):
    """What is decoded and sampled is the same, to the last bit."""
    description = json.loads(to_canonical_json(space.description()))
    stored = space.stored_structures() if hasattr(space, "stored_structures") else None
    found = build_from_description("space", description, stored)
    assert found is not None
    assert found is not space
    assert to_canonical_json(found.description()) == to_canonical_json(space.description())
    X = space.sample(5, torch.Generator().manual_seed(0))
    assert torch.equal(X, found.sample(5, torch.Generator().manual_seed(0)))
    assert bool(found.contains(X).all())
    expected, decoded = space.decode(X), found.decode(X)
    for field in fields(Structures):
        value, right = getattr(decoded, field.name), getattr(expected, field.name)
        assert (value is None) == (right is None), field.name
        assert right is None or torch.equal(value.nan_to_num(), right.nan_to_num()), field.name
    return found


def slab(n_free=0):
    atoms = fcc111("Pd", (2, 2, 3), vacuum=8.0)
    atoms.set_constraint(FixAtoms(range(len(atoms) - n_free)))
    return atoms


def magnetic(atoms):
    atoms.set_initial_magnetic_moments([0.5] * len(atoms))
    atoms.set_initial_charges([0.1] * len(atoms))
    atoms.info |= {"charge": 1, "spin": 2}
    return atoms


def test_a_space_made_of_structures_is_rebuilt_with_them():
    for space in (
        Surface(slab(), "CO"),
        Surface(slab(4), "O2", region=(-3.0, 5.0), min_distance={"O-Pd": 1.5}),
        Surface(slab(12), "Pd"),
        Surface(slab(4), "Pd", molecules={"CO": 1, "H2O": 1, "H": 1}),
        Surface(magnetic(slab()), "CO"),
        Pool([magnetic(molecule("O2")), molecule("CO2")]),
        Pool([molecule("H2O"), molecule("CO2"), molecule("NH3")]),
        Pool([bulk("Cu"), bulk("Pd")], assume_distinct=True, price=PRICE),
    ):
        description = space.description()
        found = assert_same_space(space)
        assert getattr(found, "names", ()) == getattr(space, "names", ())
        assert build_from_description("space", description) is None


def test_other_structures_are_not_taken():
    pool = Pool([molecule("H2O"), molecule("CO2")])
    other = Pool([molecule("H2O"), molecule("NH3")]).stored_structures()
    assert build_from_description("space", pool.description(), other) is None
    surface = Surface(slab(), "CO")
    assert build_from_description("space", surface.description(), other) is None


class Harmonic:
    """A spring from each atom to the origin."""

    def __call__(self, structures):
        P = structures.positions
        return Evaluation(float(0.5 * P.pow(2).sum()), -P)

    def description(self):
        return {"type": "Harmonic"}


@pytest.mark.parametrize("name", ["surface", "molecule", "pool"])
def test_posteriors_are_rebuilt_without_the_campaign_file(tmp_path, name):
    images = [molecule(formula) for formula in ("H2O", "CO2", "NH3", "CH4", "HCN", "N2")]
    small = LocalGP(n_max=2, l_max=1, max_inducing=4, species_similarity=0.4)
    given = replace(small, embedding_term=EmbeddingTerm(decay=5.0))
    space, surrogate, arguments = {
        "surface": (Surface(slab(), "CO"), given, {}),
        "molecule": (Cluster("CH4"), small, {}),
        "pool": (Pool(images), given, {}),
    }[name]
    if name != "pool":
        search = BasinHopping(n_rounds=1, max_time_fraction=1e-9, n_candidates=2)
        arguments["search"] = search
    mine = Campaign(space, Harmonic(), surrogate=surrogate, n_initial=3, **arguments)
    mine.run(tmp_path / "run", stop=Evaluations(4))
    found = verify_log(open_log(tmp_path / "run"))
    assert found.is_valid, found
    assert found.n_rebuilt == 1


def test_changed_structures_are_told(tmp_path):
    pool = Pool([molecule("H2O"), molecule("CO2"), molecule("NH3")])
    mine = Campaign(pool, Harmonic(), surrogate=LocalGP(n_max=2, l_max=1), n_initial=2)
    mine.run(tmp_path / "run", stop=Evaluations(2))
    assert verify_log(open_log(tmp_path / "run")).is_valid
    other = Pool([molecule("H2O"), molecule("CO2"), molecule("HCN")])
    for data in (other.stored_structures().to_bytes(), b"no structures"):
        with sqlite3.connect(tmp_path / "run" / "campaign.db") as connection:
            connection.execute("UPDATE bostruct_structures SET data = ?", (data,))
        connection.close()
        found = verify_log(open_log(tmp_path / "run"))
        assert found.problems == (
            "row 1 of the structures of the space is not what was written: the hash chain differs",
        )
        assert "give the campaign file" in found.skipped[0]


def test_a_surrogate_is_rebuilt():
    assert isinstance(build_from_description("surrogate", LocalGP().description()), LocalGP)


def test_what_is_unknown_is_not():
    assert build_from_description("space", {"type": "Mine", "edge": 3.0}) is None
    assert build_from_description("space", {}) is None
    assert build_from_description("surrogate", {"type": "annotations"}) is None


def test_what_would_be_another_one_is_not():
    described = Cluster("Cu3").description()
    assert build_from_description("space", {**described, "formula": "Xq"}) is None
    assert build_from_description("space", {**described, "colour": "red"}) is None
    assert build_from_description("space", {**described, "radius": "wide"}) is None


def test_what_asks_for_a_file_or_for_excess_is_not(tmp_path, monkeypatch):
    """A stranger's description reads no file, and takes no memory."""
    described = Cluster("Cu3").description()
    for formula in ("Cu99999999999", "Cu3" * 2 + "H10000000"):
        assert build_from_description("space", {**described, "formula": formula}) is None
    os.mkfifo(tmp_path / "pipe")
    for name, argument in (("Surface", "slab"), ("Pool", "source"), ("Lattice", "parent")):
        description = {"type": name, argument: str(tmp_path / "pipe"), "formula": "Cu3"}
        assert build_from_description("space", description) is None
    for step in (1e-12, 10**30, float("nan")):
        description = {"type": "Composition", "elements": ["Cu", "Au"], "step": step}
        assert build_from_description("space", description) is None


def test_abstract_parts_are_not(folder):
    for name in ("Space", "DiscreteSpace", "SupportsNeighbors"):
        assert build_from_description("space", {"type": name}) is None
    for name in ("Surrogate", "FittedModel"):
        assert build_from_description("surrogate", {"type": name}) is None


@pytest.mark.parametrize("description", ["{}", '{"space": 1, "surrogate": {}}'])
def test_a_description_without_its_parts(folder, description):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.execute("UPDATE bostruct_campaign SET description = ?", (description,))
    connection.close()
    with pytest.raises(LogError, match="does not describe its space"):
        open_log(folder)


def test_a_log_is_opened_with_what_its_description_makes(tmp_path):
    mine = campaign(space=Cluster("Cu3"), surrogate=LocalGP())
    mine.run(tmp_path / "run", stop=Evaluations(1))
    log = open_log(tmp_path / "run")
    assert log.space.description() == Cluster("Cu3").description()
    assert isinstance(log.surrogate, LocalGP)
    campaign().run(tmp_path / "own", stop=Evaluations(1))
    own = open_log(tmp_path / "own")
    assert (own.space, own.surrogate) == (None, None)
