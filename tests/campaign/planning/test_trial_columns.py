from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.calibration import online_calibration
from bostruct.campaign.analysis.outcome_table import outcome_matrix, single_outcome
from bostruct.campaign.planning.retries import retry_candidates
from bostruct.campaign.planning.trial_columns import TrialColumns, common_prefix_length
from bostruct.campaign.records import training_structures
from bostruct.objectives import dominance_rank, pareto_front
from bostruct.spaces import Cluster, Surface
from tests.campaign import alloys
from tests.campaign.standin import Box


def growing(trials):
    """Yield selections of trials as a campaign with late results and a retraction makes them."""
    yield from (trials[:n] for n in range(1, len(trials) + 1))
    late = [*trials[:4], *trials[5:]]
    yield late
    yield trials
    changed = [
        replace(t, energy=None, state="retracted") if i == 2 else t for i, t in enumerate(trials)
    ]
    yield changed
    yield trials[:3]
    yield trials


def test_energies_and_structures(log):
    columns, trials = TrialColumns(), log.trial_records()
    for known in growing(trials):
        assert torch.equal(columns.coordinates(known), torch.stack([t.X for t in known]))
        done = [trial for trial in known if trial.state == "done"]
        expected = training_structures(done, Box())
        found = columns.structures(done, Box())
        for name in ("positions", "energy", "forces", "index", "numbers", "cell", "fixed"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
        assert columns.calibration(known) == online_calibration(known)
        keys = columns.each("keys", known, lambda trial: trial.key)
        assert keys == [trial.key for trial in known]
        total = columns.fold("sum", known, lambda s, t: s + t.number, 0)
        assert total == sum(trial.number for trial in known)


def test_outcomes_fronts_and_ranks(screened):
    columns, config = TrialColumns(), screened.optimization_config
    for known in growing(screened.trial_records()):
        Y = outcome_matrix(known, config)
        torch.testing.assert_close(
            columns.outcomes(known, config), Y, rtol=0, atol=0, equal_nan=True
        )
        assert torch.equal(columns.front(known, config), pareto_front(Y, config))
        assert torch.equal(columns.dominance_rank(known, config), dominance_rank(Y, config))
        assert columns.calibration(known, config, "modulus") == online_calibration(
            single_outcome(known, config, "modulus")
        )


def test_duplicates_of_failures(screened):
    space, columns = alloys.space(), TrialColumns()
    trials = screened.trial_records()
    trials = [replace(t, state="failed") if t.number in (1, 4, 7) else t for t in trials]
    trials = [replace(t, X=trials[1].X) if t.number in (6, 9) else t for t in trials]
    for known in growing(trials):
        assert retry_candidates(known, space, columns) == retry_candidates(known, space)
    X = columns.coordinates(trials)
    for i, rows in columns.duplicates(trials, space).items():
        assert trials[i].state == "failed"
        assert rows == space.is_duplicate(X[i], X).nonzero().flatten().tolist()


def surface():
    from ase.build import add_adsorbate, fcc111

    slab = fcc111("Pd", (2, 2, 2), vacuum=6.0)
    add_adsorbate(slab, "O", 1.5, "fcc")
    del slab[-1]
    return Surface(slab, "O2")


@pytest.mark.parametrize("make_space", [lambda: Cluster("Cu5"), alloys.space, surface])
def test_what_a_structure_decodes_to_does_not_rest_on_the_others(make_space):
    """Blocks of structures decode as all of them together do, to the last bit."""
    space = make_space()
    X = space.sample(70, torch.Generator().manual_seed(0))
    whole = space.decode(X)
    for n in (1, 7, 64):
        part = space.decode(X[:n])
        for name in ("positions", "cell"):
            assert torch.equal(getattr(part, name), getattr(whole[slice(n)], name))


def test_the_common_prefix(log):
    trials = log.trial_records()
    for n in range(len(trials) + 1):
        other = [*trials[:n], *map(replace, trials[n:])]
        assert common_prefix_length(trials, other) == n
        assert common_prefix_length(trials, trials[:n]) == n
    assert common_prefix_length([], trials) == 0
