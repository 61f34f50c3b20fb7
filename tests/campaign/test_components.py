import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron

from bostruct import surrogates
from bostruct.acquisition import LowerConfidenceBound
from bostruct.campaign import Campaign, FinalRelaxation, stop
from bostruct.campaign.components import check_executor, check_stop, default_search
from bostruct.candidates import BasinHopping, EvolutionarySearch, ExhaustiveSearch
from bostruct.errors import InputError
from bostruct.evaluators import Calculator, Function
from bostruct.runtime import executors
from bostruct.spaces import Cluster, Composition, Lattice, Orderings, Pool
from bostruct.structures import to_ase
from bostruct.surrogates import IndependentProperties, LocalGP, MultitaskGP
from tests.campaign import alloys
from tests.campaign.standin import GP, Box, campaign, energy


def test_description_holds_every_part():
    found = campaign().description()
    assert found["space"] == {"kind": "Box", "edge": 6.0}
    assert found["acquisition"]["type"] == "LowerConfidenceBound"
    assert list(found) == [
        "space",
        "evaluator",
        "surrogate",
        "acquisition",
        "search",
        "n_initial",
        "batch_size",
    ]


@pytest.mark.parametrize(
    ("name", "part", "found"),
    [
        ("space", "Cu15", "str"),
        ("space", Box, "Box"),
        ("evaluator", energy, "function"),
        ("evaluator", EMT(), "EMT"),
        ("surrogate", Function(energy), "Function"),
        ("acquisition", Box(), "Box"),
        ("acquisition", LowerConfidenceBound, "LowerConfidenceBound"),
        ("search", 3, "int"),
    ],
)
def test_refuses_what_is_no_part(name, part, found):
    with pytest.raises(InputError, match=f"`{name}` must be an? {name}, got {found}"):
        campaign(**{name: part})


def test_says_how_to_make_an_evaluator():
    with pytest.raises(InputError, match=r"Wrap a function in bostruct\.evaluators"):
        campaign(energy)


def test_refuses_a_description_that_json_cannot_hold():
    class Odd(Box):
        def description(self):
            return {"edge": object()}

    with pytest.raises(InputError, match="`space` must have a description that JSON"):
        campaign(space=Odd())


def test_members_of_a_list_cannot_be_relaxed():
    """Refused before an energy is paid for, with the name of what can search there."""
    pool = Pool([bulk("Cu"), bulk("Au")])
    condition = "`space` must have coordinates that `BasinHopping` can relax, got Pool"
    with pytest.raises(InputError, match=rf"{condition}. Pass `ExhaustiveSearch\(\)`, `Evo"):
        campaign(space=pool, search=BasinHopping())
    assert campaign(space=pool).components.space is pool


def test_each_search_has_its_spaces():
    endless = Composition(["Cu", "Au"])
    condition = "`space` must have members that `ExhaustiveSearch` can list, got Composition, whose"
    with pytest.raises(InputError, match=condition):
        campaign(space=endless, search=ExhaustiveSearch())
    for search in (ExhaustiveSearch(), EvolutionarySearch()):
        name = type(search).__name__
        condition = f"`space` must be discrete for `{name}`, got Box. Pass `BasinHop"
        with pytest.raises(InputError, match=condition):
            campaign(search=search)


def test_the_search_follows_the_space():
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    elements = ["Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
    assert isinstance(default_search(Cluster("Cu5")), BasinHopping)
    assert isinstance(default_search(Pool([bulk("Cu"), bulk("Au")])), ExhaustiveSearch)
    assert isinstance(default_search(Composition(elements, step=1 / 8)), ExhaustiveSearch)
    assert isinstance(default_search(Composition(elements, step=1 / 32)), ExhaustiveSearch)
    assert isinstance(default_search(Composition(elements)), EvolutionarySearch)
    assert isinstance(default_search(Lattice(crystal, {"Cu": elements})), EvolutionarySearch)
    long = Composition([*elements, "Al"], step=1 / 32)
    assert long.size > 10**6
    assert isinstance(default_search(long), EvolutionarySearch)


def test_members_are_not_relaxed_at_the_end():
    pool = Pool([bulk("Cu"), bulk("Au")])
    with pytest.raises(InputError, match="`final_relaxation` must be None where a space has only"):
        Campaign(pool, Calculator(EMT), final_relaxation=FinalRelaxation())


SMALL = LocalGP(n_max=3, l_max=2, max_inducing=40, pair_term=None, embedding_term=None)


class Counted:
    """EMT, with a note of the member that it was asked about."""

    def __init__(self, space):
        self.space, self.asked, self.inner = space, [], Calculator(EMT)

    def __call__(self, structures):
        x = self.space.canonical(self.space.encode(structures))
        self.asked.append(tuple(x.flatten().tolist()))
        return self.inner(structures)

    def description(self):
        return self.inner.description()


def icosahedra():
    """30 different ways to put 6 gold atoms into an icosahedron of copper."""
    counts = {"Cu": {"Cu": 7, "Au": 6}}
    return Lattice(Icosahedron("Cu", 2), {"Cu": ["Cu", "Au"]}, counts=counts)


def isomers():
    """The same in a list, each also turned round, which makes it no other."""
    lattice = icosahedra()
    images = to_ase(lattice.decode(lattice.members(0, 30)))
    turned = [image.copy() for image in images]
    for image in turned:
        image.rotate(50, (1, 2, 3))
    return Pool([*images, *turned])


def orderings():
    """All 10 cells of Cu5Au."""
    share = {"Au": (1 / 6, 1 / 6)}
    return Orderings(bulk("Cu", a=3.75), ["Cu", "Au"], 6, bounds=share)


@pytest.mark.parametrize(
    ("make", "search", "batch"),
    [
        pytest.param(icosahedra, None, 1, marks=pytest.mark.slow),
        pytest.param(
            icosahedra,
            EvolutionarySearch(n_candidates=8, n_rounds=3),
            2,
            marks=pytest.mark.slow,
        ),
        (isomers, None, 2),
        pytest.param(orderings, None, 1, marks=pytest.mark.slow),
    ],
)
def test_a_campaign_over_members(tmp_path, make, search, batch):
    """It finds the best, asks about each once, and goes on where it was ended."""
    space = make()

    def run(folder, *ends):
        evaluator = Counted(space)
        parts = Campaign(space, evaluator, SMALL, search=search, batch_size=batch)
        for end in ends:
            found = parts.run(tmp_path / folder, stop=stop.Evaluations(end))
        return found, evaluator.asked

    log, asked = run("whole", 10)
    assert len(asked) == len(set(asked)) == 10
    every = space.decode(torch.cat(list(space.iter_members())))
    truth = min(Calculator(EMT)(one).energy for one in every)
    best = min(trial.energy for trial in log.trials("done"))
    assert best == pytest.approx(truth, abs=1e-9)
    resumed, again = run("parts", 3, 7, 10)
    assert again == asked
    assert resumed.fingerprint() == log.fingerprint()


def test_a_list_comes_to_its_end(tmp_path):
    """Every member is asked about, each once, and then nothing is left."""
    pool = isomers()
    few = Pool(pool.decode(pool.members(0, 5)), assume_distinct=True)
    evaluator = Counted(few)
    log = Campaign(few, evaluator, SMALL, stop=stop.Evaluations(50)).run(tmp_path)
    assert sorted(evaluator.asked) == [(0.0,), (1.0,), (2.0,), (3.0,), (4.0,)]
    assert len(log.trials("done")) == 5


def test_stop_and_executor():
    rule = stop.Evaluations(3)
    assert check_stop(rule) is rule
    with pytest.raises(InputError, match="`stop` must be a stopping criterion, got int"):
        check_stop(3)
    assert check_executor(None) is None
    workers = executors.Workers(1)
    assert check_executor(workers) is workers
    with pytest.raises(InputError, match="`executor` must be a concurrent"):
        check_executor(3)


class Wrapped:
    """A surrogate of no telling signature."""

    def __init__(self, inner):
        self.inner = inner

    def fit(self, *args, **kwargs):
        return self.inner.fit(*args, **kwargs)

    def restore(self, *args, **kwargs):
        return self.inner.restore(*args, **kwargs)

    def description(self):
        return {"type": "Wrapped", "inner": self.inner.description()}


class Declared(Wrapped):
    """The same, which declares its kind."""

    @property
    def supports_multiple_outcomes(self):
        return self.inner.supports_multiple_outcomes


def test_a_wrapper_works_when_it_declares_itself(tmp_path):
    """Its kind is never guessed from the names of its parameters."""
    single = campaign(surrogate=Declared(GP()), n=6).run(tmp_path / "single")
    assert single.steps()[-1].kind == "model"
    several = alloys.campaign(surrogate=Declared(IndependentProperties()))
    log = several.run(tmp_path / "several", stop=stop.Evaluations(5))
    assert log.steps()[-1].kind == "model"


def test_a_surrogate_of_properties_is_told_from_one_of_structures():
    with pytest.raises(InputError, match=r"be a model of structures, got GP\. It models one prop"):
        campaign(surrogate=surrogates.GP())
    with pytest.raises(InputError, match=r"got LocalGP\. It is the class: pass LocalGP\(\.\.\.\)"):
        campaign(surrogate=LocalGP)


def test_a_component_that_does_not_declare_itself_is_refused():
    declares = r"`surrogate` must declare `supports_multiple_outcomes`, got Wrapped\. Add the cl"
    with pytest.raises(InputError, match=declares):
        campaign(surrogate=Wrapped(GP()))
    with pytest.raises(InputError, match=declares):
        alloys.campaign(surrogate=Wrapped(IndependentProperties()))

    class Bound:
        build = LowerConfidenceBound.build

        def description(self):
            return {"type": "Bound"}

    with pytest.raises(InputError, match="`acquisition` must declare `supports_q_batch`, got Bou"):
        campaign(acquisition=Bound())
    Bound.supports_q_batch = False
    with pytest.raises(InputError, match="`acquisition` must declare `supports_multi_objective`"):
        campaign(acquisition=Bound())
    Bound.supports_multi_objective = False
    assert campaign(acquisition=Bound())


def test_each_kind_has_its_campaigns():
    condition = r"`surrogate` must support several objectives, got LocalGP\. Pass surrogates\.Indep"
    with pytest.raises(InputError, match=condition):
        alloys.campaign(surrogate=LocalGP())
    condition = "`surrogate` must support a campaign without objectives, got MultitaskGP. Pass `obj"
    with pytest.raises(InputError, match=condition):
        campaign(surrogate=MultitaskGP())
