import math
import sqlite3

import pytest
import torch

from bostruct import Constraint, Objective, acquisition, stop, surrogates
from bostruct.campaign import FinalRelaxation
from bostruct.campaign.analysis.outcome_table import outcome_matrix, quarantined_values
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.records import OutcomePrediction
from bostruct.errors import InputError, LogError
from bostruct.evaluators import AlloyProperties
from bostruct.objectives import OptimizationConfig, hypervolume, pareto_front
from bostruct.spaces import Cluster, Composition
from tests.campaign.alloys import OBJECTIVES, PRICE, STABLE, Alloy, campaign, space, truth


def aims(**changes):
    return LearnedObjectives(OptimizationConfig(OBJECTIVES, STABLE), space(**changes))


def test_what_the_space_knows_is_not_learnt():
    found = aims()
    assert found.exact_names == ("price",)
    assert found.learned_names == ("enthalpy", "modulus")
    assert found.learned_columns == [0, 1]
    X = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    wanted = [[math.log10(PRICE["Cu"])], [math.log10(PRICE["Au"])]]
    torch.testing.assert_close(found.deterministic_outcomes(X), X.new_tensor(wanted))
    assert found.deterministic_outcomes(X.reshape(2, 1, 3)).shape == (2, 1, 1)


def test_what_it_knows_is_said_before():
    (said,) = aims().exact_predictions(torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    assert said == (OutcomePrediction("price", math.log10(PRICE["Cu"]), is_exact=True),)
    assert aims(price=None).exact_predictions(torch.zeros(2, 3, dtype=torch.float64)) == [(), ()]


def test_a_space_without_separate_members_knows_nothing():
    found = LearnedObjectives(OptimizationConfig(OBJECTIVES[:1]), Cluster("Cu3"))
    assert (found.exact_names, found.deterministic_outcomes) == ((), None)


def test_something_must_be_learnt():
    with pytest.raises(InputError, match="`objectives` must hold one that only"):
        LearnedObjectives(OptimizationConfig((Objective("x_Cu", "maximize"),)), space())


def test_members_are_all_where_there_are_few():
    assert len(aims().representative_members()) == 45
    many = aims(step=None).representative_members()
    assert len(many) == 2048
    assert torch.equal(many, aims(step=None).representative_members())


def test_the_reference_is_behind_what_is_expected_too():
    found = aims()
    Y = torch.tensor([[-0.02, 150.0, 1.0], [-0.04, 160.0, 2.0]], dtype=torch.float64)
    expected = torch.tensor([[0.06, 140.0, 5.0]], dtype=torch.float64)
    # Worst, and a tenth of the range behind it.
    wanted = [-0.06 - 0.01, 140.0 - 2.0, -5.0 - 0.4]
    assert found.reference_point(Y, expected).tolist() == pytest.approx(wanted)


def test_constraints_alone_are_outcomes():
    goals = OptimizationConfig(OBJECTIVES[:1], (Constraint("x_Cu", lower=0.25),))
    found = LearnedObjectives(goals, space())
    assert (found.exact_names, found.learned_names) == (("x_Cu",), ("enthalpy",))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Eleven evaluations; the third is absurd and the sixth fails."""
    folder = tmp_path_factory.mktemp("front") / "run"
    return campaign(evaluator=Alloy(broken={6}, absurd={3})).run(folder, stop=stop.Evaluations(11))


def whole():
    """Return all members and their outcomes."""
    goals, every = OptimizationConfig(OBJECTIVES, STABLE), space()
    X = every.members(0, every.size)
    price = every.exact_properties(X)["price"].tolist()
    rows = [
        goals.outcome_vector(truth(x) | {"price": p})
        for x, p in zip(X.tolist(), price, strict=True)
    ]
    return goals, X, X.new_tensor(rows)


def test_the_front_is_found(tmp_path):
    goals, X, Y = whole()
    there = X[pareto_front(Y, goals)]
    log = campaign().run(tmp_path / "run", stop=stop.Evaluations(24))
    found = torch.stack([trial.X for trial in log.trial_records()])
    hits = (there.unsqueeze(1) == found).all(-1).any(-1)
    assert len(there) > 5
    assert hits.double().mean() > 0.8
    reference = Y.new_tensor([-0.2, 100.0, -5.0])
    share = hypervolume(outcome_matrix(log.trial_records(), goals), goals, reference)
    assert share > 0.99 * hypervolume(Y, goals, reference)


def test_no_structure_is_asked_for_twice(log):
    X = torch.stack([trial.X for trial in log.trial_records()])
    assert len(X.unique(dim=0)) == len(X) == 11


def test_what_is_said_before_is_in_the_log(log):
    steps, trials = log.steps(), log.trial_records()
    for trial in trials[:4]:
        assert [each.name for each in trial.outcome_predictions] == ["price"]
    for trial in trials[4:]:
        assert [each.name for each in trial.outcome_predictions] == ["enthalpy", "modulus", "price"]
        tensors = log.posterior_tensors(trial.step)
        for place, each in enumerate(trial.outcome_predictions[:2]):
            assert each.mean == float(tensors["candidates.mean"][trial.candidate_index, place])
            assert 0 < each.latent_variance <= each.predictive_variance
        assert trial.outcome_predictions[2].is_exact
        assert trial.outcome_predictions[2].latent_variance == 0
    assert [step.kind for step in steps[:2]] == ["random", "model"]


def test_a_step_says_where_the_front_stands(log):
    goals = log.optimization_config
    step = log.steps()[-1]
    known = [log.trial_records()[number] for number in step.training_trials]
    shown = step.hyperparameters
    Y = outcome_matrix(known, goals)
    assert shown["front"] == len(pareto_front(Y, goals))
    assert shown["feasible"] == int(goals.is_feasible(Y).sum())
    names = [part.name for part in goals.objectives]
    ends = [shown[f"reference_of_{name}"] for name in names]
    signs = [part.sign for part in goals.objectives]
    reference = Y.new_tensor([s * e for s, e in zip(signs, ends, strict=True)])
    assert shown["hypervolume"] == pytest.approx(hypervolume(Y, goals, reference))
    assert shown["calibration_tested_of_modulus"] == len(known) - 4


def test_the_posterior_is_rebuilt(log):
    step = log.steps()[-1].number
    tensors, model = log.posterior_tensors(step), log.posterior(step)
    posterior = model.posterior(tensors["probe.X"].unsqueeze(-2))
    torch.testing.assert_close(
        posterior.mean.squeeze(-2), tensors["probe.mean"], rtol=1e-10, atol=1e-10
    )
    assert tensors["chosen.covariance"].shape == (2, 2)


def test_what_is_absurd_shapes_nothing(log):
    trials = log.trial_records()
    (found,) = quarantined_values(trials, log.optimization_config)
    assert (found.trial, found.name, found.value) == (2, "modulus", -2992.0)
    Y = outcome_matrix(trials, log.optimization_config)
    assert Y[2, 1].isnan()
    assert Y[2, 0] == trials[2].properties["enthalpy"]  # that was sound
    assert 2 not in pareto_front(Y, log.optimization_config)
    assert trials[5].state == "failed"
    assert Y[5, :2].isnan().all()


def test_calibration_is_that_of_each_outcome(log):
    goals, trials = log.optimization_config, log.trial_records()
    Y = outcome_matrix(trials, goals)
    said = [t for t in trials if len(t.outcome_predictions) == 3 and t.state == "done"]
    for place, name in enumerate(("enthalpy", "modulus")):
        z = [
            (float(Y[t.number, place]) - t.outcome_predictions[place].mean)
            / t.outcome_predictions[place].predictive_variance ** 0.5
            for t in said
        ]
        assert log.calibration(outcome=name).z == pytest.approx(tuple(z))
        last = log.steps()[-1].number
        assert log.calibration(last, name).n == len(z) - 1
    predictions = log.predictions(outcome="modulus")
    assert predictions[0].energy == Y[predictions[0].trial, 1]
    with pytest.raises(InputError, match="`outcome` must name an outcome"):
        log.calibration(outcome="hardness")


def test_an_interrupted_run_is_the_same_run(tmp_path):
    once = campaign().run(tmp_path / "once", stop=stop.Evaluations(9), seed=3)
    for n in (2, 5, 9):
        twice = campaign().run(tmp_path / "twice", stop=stop.Evaluations(n), seed=3)
    assert once.fingerprint() == twice.fingerprint()
    other = campaign().run(tmp_path / "other", stop=stop.Evaluations(9), seed=4)
    assert once.fingerprint() != other.fingerprint()


def test_a_batch_is_of_different_structures_that_share_the_gain(tmp_path):
    mine = campaign(batch_size=4)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(12))
    assert [len(s.training_trials) for s in log.steps()] == [0, 4, 8]
    X = torch.stack([trial.X for trial in log.trial_records()])
    assert len(X.unique(dim=0)) == 12


def test_what_is_pending_is_believed(tmp_path):
    mine = campaign()
    with mine.open(tmp_path / "run"):
        for trial in mine.ask(4):
            mine.tell(trial, Alloy()(trial.structures))
        first = mine.ask(1)
        second = mine.ask(1)  # while the first is being evaluated
        assert not torch.equal(first[0].X, second[0].X)
        assert mine.log.steps()[-1].training_trials == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "form",
    [
        acquisition.ExpectedHypervolumeImprovement(),
        acquisition.qLogExpectedHypervolumeImprovement(16),
        acquisition.qLogNParEGO(16),
        acquisition.qLogProbabilityOfFeasibility(16),
    ],
    ids=lambda form: type(form).__name__,
)
def test_other_acquisitions_take_its_place(form, tmp_path):
    mine = campaign(acquisition=form, batch_size=2)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(8))
    assert len(log.trial_records("done")) == 8
    values = log.posterior_tensors(log.steps()[-1].number)["candidates.acquisition"]
    assert values.isfinite().any()


def test_one_objective_is_enough(tmp_path):
    goals = {"objectives": OBJECTIVES[:1], "constraints": ()}
    log = campaign(**goals).run(tmp_path / "run", stop=stop.Evaluations(14))
    best = min(truth(x)["enthalpy"] for x in space().members(0, 45).tolist())
    assert outcome_matrix(log.trial_records(), log.optimization_config).nan_to_num(
        9.0
    ).min() == pytest.approx(best)


def test_outcomes_may_be_correlated(tmp_path):
    mine = campaign(surrogate=surrogates.MultitaskGP())
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(6))
    assert log.steps()[-1].hyperparameters["front"] >= 1


def test_a_retracted_trial_is_no_longer_believed(tmp_path):
    mine = campaign()
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(7))
    goals = log.optimization_config
    bad = int(pareto_front(outcome_matrix(log.trial_records(), goals), goals)[0])
    with mine.open(tmp_path / "run"):
        mine.retract(bad, "the cell was wrong")
        with pytest.raises(InputError, match="`trial` must have a result"):
            mine.retract(bad)
        with pytest.raises(InputError, match="must be 0 to 6, one of the log"):
            mine.retract(99)
    trial = log.trial_records()[bad]
    assert (trial.state, trial.reason, trial.energy) == (
        "retracted",
        "the cell was wrong",
        None,
    )
    assert trial.is_finished
    assert log.trials_before_retraction()[bad].energy is not None
    assert bad not in pareto_front(outcome_matrix(log.trial_records(), goals), goals)
    assert quarantined_values(log.trial_records(), goals)[0].reason == "the cell was wrong"
    before = log.calibration(log.steps()[-1].number, "modulus")
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(9))
    assert len(log.trial_records()) == 9  # it counts, and is not asked for again
    assert bad not in log.steps()[-1].training_trials
    assert log.calibration(log.steps()[-3].number, "modulus") == before


def test_folders_of_earlier_formats_are_not_written(tmp_path):
    mine = campaign()
    mine.run(tmp_path / "run", stop=stop.Evaluations(2))
    connection = sqlite3.connect(tmp_path / "run" / "campaign.db")
    with connection:
        connection.execute("UPDATE bostruct_campaign SET format = 2")
    connection.close()
    with pytest.raises(LogError, match="has log format 2, which is read and not written"):
        mine.open(tmp_path / "run")


def test_goals_nobody_measures_are_told_after_the_first_evaluations(tmp_path):
    goals = (Objective("hardness", "maximize"), *OBJECTIVES)
    evaluator = Alloy()
    mine = campaign(objectives=goals, evaluator=evaluator)
    with pytest.raises(InputError, match=r"got 'hardness'\. The evaluator returned"):
        mine.run(tmp_path / "run", stop=stop.Evaluations(9))
    assert len(evaluator.calls) == 4


def test_an_evaluator_that_says_what_it_offers_is_asked_before(tmp_path):
    from ase.calculators.emt import EMT

    evaluator = AlloyProperties(EMT)
    goals = (Objective("bulk_modulus", "maximize"), OBJECTIVES[2])
    with pytest.raises(InputError, match=r"got 'bulk_modulus'\. The evaluator returns"):
        campaign(objectives=goals, constraints=(), evaluator=evaluator)
    goals = (Objective("bulk_modulus_GPa", "maximize"), OBJECTIVES[2])
    campaign(objectives=goals, constraints=(), evaluator=evaluator)
    goals = (Objective("shear_modulus_GPa", "maximize"), OBJECTIVES[2])
    with pytest.raises(InputError, match="got 'shear_modulus_GPa'"):
        campaign(objectives=goals, constraints=(), evaluator=evaluator)


def test_a_space_of_other_elements_is_refused():
    from ase.calculators.emt import EMT

    goals = {"objectives": (Objective("bulk_modulus_GPa", "maximize"), OBJECTIVES[2])}
    goals["constraints"] = ()
    irons = Composition(["Cu", "Fe"], step=1 / 8, price={"Cu": 6.0, "Fe": 0.1})
    with pytest.raises(InputError, match=r"hold elements that the ev.*, got Fe\. It has"):
        campaign(space=irons, evaluator=AlloyProperties(EMT), **goals)
    gases = Composition(["Cu", "Xe"], step=1 / 8, price={"Cu": 6.0, "Xe": 1.0})
    free = AlloyProperties(EMT, elements=["Cu", "Xe"], references={"Cu": 0.0})
    campaign(space=gases, evaluator=free, **goals)
    artificial = Composition(["Cu", "Lr"], step=1 / 8, price={"Cu": 6.0, "Lr": 1.0})
    without = AlloyProperties(EMT, elements=["Cu", "Lr"])
    with pytest.raises(InputError, match=r"Lr.*It is structure"):
        campaign(space=artificial, evaluator=without, **goals)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"objectives": None}, "`constraints` must come with objectives"),
        (
            {"objectives": ["price"]},
            r"be a list of Objective, got 'price'. Such as \[Objective\('p",
        ),
        ({"objectives": OBJECTIVES[0]}, r"be a list of Objective, got Objective\(name='enthalpy'"),
        ({"constraints": ["price"]}, r"be a list of Constraint, got 'price'. Such as \[Constraint"),
        ({"objectives": ()}, "`objectives` must hold one at least"),
        (
            {"surrogate": surrogates.LocalGP()},
            r"must support several obj.*Local.*IndependentP",
        ),
        (
            {"acquisition": acquisition.LowerConfidenceBound()},
            r"`acquisition` must support several objectives.*ParetoProb",
        ),
        (
            {"acquisition": acquisition.qLogNParEGO(), "objectives": None} | {"constraints": ()},
            "`acquisition` must support a campaign without objectives",
        ),
        (
            {"final_relaxation": FinalRelaxation()},
            "`final_relaxation` must be None",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, match):
    with pytest.raises(InputError, match=match):
        campaign(**changes)


def test_structures_to_start_from_are_evaluated(tmp_path):
    start = space().decode(torch.eye(3, dtype=torch.float64))
    mine = campaign(initial_structures=start, n_initial=None)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(4))
    origins = [trial.generator for trial in log.trial_records()]
    assert origins == ["initial_structures"] * 3 + ["random"] * 5
    assert len(mine.components.initial_data.X_unevaluated) == 3
    assert mine.components.n_initial == 5  # two more than twice the elements, less these


def test_a_space_without_separate_structures_is_refused():
    with pytest.raises(InputError, match="`space` must be one of separate"):
        campaign(space=Cluster("Cu3"), objectives=OBJECTIVES[:1], constraints=())
