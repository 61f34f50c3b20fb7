from dataclasses import replace

import pytest
import torch
from ase.build import bulk

from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.planning import trial_columns
from bostruct.campaign.session import Session
from bostruct.campaign.stop import Evaluations
from bostruct.candidates import ExhaustiveSearch
from bostruct.errors import ExhaustedError, InputError
from bostruct.evaluators import Evaluation, Failure
from bostruct.spaces import Pool
from tests.campaign import alloys
from tests.campaign.standin import Points, campaign


@pytest.fixture
def make(tmp_path):
    made = []

    def make(**arguments):
        parts = campaign(**arguments).components
        ledger = LogWriter(
            tmp_path / "run",
            parts.description(),
            0,
            space=parts.space,
            surrogate=parts.surrogate,
            device="cpu",
        )
        made.append(ledger)
        return Session(parts, ledger, torch.device("cpu"))

    yield make
    for ledger in made:
        ledger.close()


def test_what_is_planned_is_handed_out_once(make):
    session = make()
    assert session.planned_trials() == []
    planned = session.plan_step(1)
    assert [trial.number for trial in session.planned_trials()] == [0, 1, 2, 3]
    session.start_evaluations(planned[:3])
    assert [trial.number for trial in session.planned_trials()] == [3]
    states = [trial.state for trial in session.writer.trials()]
    assert states == ["running"] * 3 + ["planned"]


def test_energies_are_in_the_order_asked(make):
    session = make()
    trials = session.plan_step(1)
    session.tell(trials[2], Evaluation(2.0))
    session.tell(trials[0], Failure("no"))
    session.tell(trials[3], Evaluation(3.0))
    assert session.progress(1.0).energies == (None, 2.0, 3.0)


def test_a_doubted_energy_names_no_best_structure(make):
    session = make(space=alloys.space())
    trials = session.plan_step(1)
    for trial, energy in zip(trials, (3.0, 1.0, 2.0), strict=False):
        session.tell(trial, Evaluation(energy))
    names = [trial.member for trial in trials]
    assert session.best_name() == names[1] != names[2] != ""
    session.writer.mark_doubt(trials[1].number, "too low")
    assert session.best_name() == names[2]


def test_refuses(make):
    session = make()
    first, second, *_ = session.plan_step(1)
    session.abandon(first, "no")
    with pytest.raises(InputError, match="`trial` must be one without a result"):
        session.abandon(first, "no")
    session.tell(first, Evaluation(1.0))  # it came after all
    with pytest.raises(InputError, match="without a result, got 0, done"):
        session.tell(first, Evaluation(1.0))
    with pytest.raises(InputError, match="`result` must be an Evaluation or a Fail"):
        session.tell(second, None)
    with pytest.raises(InputError, match="`trial` must be one of this campaign"):
        session.tell("nonsense", Failure("x"))


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, "the evaluator gave no reason"),
        (ValueError("no \udc80"), "ValueError: no \\udc80"),
        (b"\xff", "b'\\xff'"),
        (lambda: 1, "function"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    ],
)
def test_any_reason_is_told_as_text(make, reason, text):
    session = make()
    first, *_ = session.plan_step(1)
    recorded = session.tell(first, Failure(reason))
    assert text in recorded.reason
    assert session.writer.trials("failed")[0].reason == recorded.reason


def test_failures_in_a_row_are_counted(make):
    session = make()
    trials = session.plan_step(1)
    assert session.progress(0.0).n_consecutive_failures == 0
    session.tell(trials[0], Failure("no"))
    session.tell(trials[1], Failure("away", retryable=True))
    assert session.progress(0.0).n_consecutive_failures == 1, "it is evaluated again"
    session.tell(trials[1], Failure("away", retryable=True))
    assert session.progress(0.0).n_consecutive_failures == 2
    session.tell(trials[2], Evaluation(1.0))
    assert session.progress(0.0).n_consecutive_failures == 0
    session.tell(trials[3], Evaluation(1e99))  # absurd
    assert session.progress(0.0).n_consecutive_failures == 1


def test_an_exhausted_space(make):
    session = make(space=Points(2))
    for trial in session.plan_step(1):
        session.tell(trial, Evaluation(1.0))
    with pytest.raises(ExhaustedError, match="every structure found in the space has"):
        session.plan_step(1)


def test_progress_has_no_front_without_goals(make):
    assert make().progress(0.0).front_history is None


def test_progress_knows_where_the_front_stood(screened, monkeypatch):
    series = screened.pareto_front().history
    with alloys.campaign().open(screened.folder) as run:
        progress = run._session.progress(0.0)
        reads = []
        original = LogWriter.trial_records
        monkeypatch.setattr(
            LogWriter,
            "trial_records",
            lambda self, *states: reads.append(states) or original(self, *states),
        )
        found = [progress.front_history(n) for n in (1, 9, 15, 15)]
    assert progress.n_model_evaluations == 11
    assert len(reads) == 1, "read once, when it was first asked"
    for n, standing in zip((1, 9, 15, 15), found, strict=True):
        assert standing.hypervolume == pytest.approx(series.hypervolume[n - 1])
        assert standing.n_front == series.n_front[n - 1]
        assert standing.n_feasible == series.n_feasible[n - 1]


def test_without_objectives_an_energy_is_needed(make):
    session = make()
    trials = session.plan_step(1)
    session.tell(trials[0], Evaluation(None, None, {"gap": 1.0}))
    (failed,) = (trial for trial in session.writer.trials() if trial.state == "failed")
    assert "no energy, which a campaign without objectives searches by" in failed.reason


def test_with_objectives_properties_suffice(tmp_path):
    class Bare(alloys.Alloy):
        def __call__(self, structures):
            return replace(super().__call__(structures), energy=None)

    made = alloys.campaign(evaluator=Bare(), stop=Evaluations(7))
    log = made.run(tmp_path / "run", seed=0)
    assert [trial.state for trial in log.trials()] == ["done"] * 7
    assert all(trial.energy is None for trial in log.trials())
    assert len(log.pareto_front().points) > 0
    assert not verify_log(made.read(tmp_path / "run")).problems
    with made.open(tmp_path / "run", seed=0):
        assert made._session.progress(0.0).energies.count(None) == 0
    usual = alloys.campaign(stop=Evaluations(7)).run(tmp_path / "usual", seed=0)
    assert [t.X.tolist() for t in usual.trials()] == [t.X.tolist() for t in log.trials()]


def test_the_name_of_the_best_is_that_of_a_known_energy(make):
    images = [bulk("Cu", a=3.4 + 0.1 * k) for k in range(6)]
    for k, image in enumerate(images):
        image.info["name"] = f"mp-{k}"
    session = make(space=Pool(images), search=ExhaustiveSearch())
    trials = session.plan_step(1)
    for trial, energy in zip(trials, (2.0, -90.0, 1.0, 3.0), strict=True):
        session.tell(trial, Evaluation(energy))
    session.writer.mark_doubt(trials[1].number, "far below all others")
    assert session.best_name() == trials[2].member != trials[1].member


def test_the_outcomes_of_a_trial_are_read_once_for_each_front(tmp_path, monkeypatch):
    """However often a stopping criterion asks where the front stands."""
    n_rows, original = [], trial_columns.outcome_matrix

    def counted(trials, config):
        n_rows.append(len(trials))
        return original(trials, config)

    monkeypatch.setattr(trial_columns, "outcome_matrix", counted)
    with alloys.campaign().open(tmp_path / "run") as run:
        session = run._session
        for k, trial in enumerate(session.plan_step(1), 1):
            structures = session.start_evaluations([trial])[0].structures
            session.tell(trial, run.evaluator(structures))
            for n in (k, k - 1, k):
                session.progress(0.0).front_history(n)
    assert k > 3
    assert sum(n_rows) == k + (k - 1)
