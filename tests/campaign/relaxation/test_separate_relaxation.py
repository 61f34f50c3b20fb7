"""Final relaxation of all atoms of conformers, each in a folder of its own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms

import bostruct as bo
from bostruct.campaign import Log
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.progress import ProgressLine
from bostruct.campaign.relaxation.relaxation_run import read_relaxation_runs
from bostruct.campaign.relaxation.separate_relaxation import SeparateRelaxation, StartEvaluated
from bostruct.campaign.stop import Progress
from bostruct.runtime.executors import InProcess
from bostruct.spaces import Cluster
from tests.campaign.molecular_mechanics import butane, conformers, is_gauche

SETTINGS = bo.FinalRelaxation(n_structures=2, fmax=0.02, max_steps=30)


def campaign(n: int, settings: bo.FinalRelaxation | None = SETTINGS) -> bo.Campaign:
    return bo.Campaign(
        space=conformers(),
        evaluator=bo.evaluators.Function(butane),
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
        n_initial=8,
        final_relaxation=settings,
        stop=bo.stop.Evaluations(n),
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return campaign(60).run(tmp_path_factory.mktemp("run"), seed=1, progress=False)


def test_all_atoms_are_relaxed(log: Log) -> None:
    """Bond lengths change, not only torsions, down to the tolerance of the forces."""
    runs = read_relaxation_runs(log.folder)
    reports = log.relaxations()
    assert len(runs) == len(reports) == 2
    for run, report in zip(runs, reports, strict=True):
        assert isinstance(run.space, Cluster)
        assert run.is_converged
        assert run.end is not None
        assert run.end.forces is not None
        assert float(run.end.forces.norm(dim=-1).max()) <= SETTINGS.fmax
        assert report.trial == report.relaxed_trial == run.trial
        assert report.relaxed_energy < report.energy - 0.02  # springs that the torsion cannot relax
        assert "all atoms, in relaxations/trial-" in report.state
        assert run.energies[-1] == pytest.approx(report.relaxed_energy)
        assert is_gauche(run.end.atoms) == is_gauche(log.trials()[report.trial].atoms)


def test_the_search_sees_torsions_alone(log: Log) -> None:
    """Relaxed energies are no training data: X tells only the torsions."""
    assert not any(trial.generator == "relaxation" for trial in log.trials())
    assert verify_log(log).is_valid
    for run in read_relaxation_runs(log.folder):
        assert verify_log(open_log(run.folder)).is_valid


def test_evaluations_stay_within_the_criterion(log: Log) -> None:
    """Search and relaxations together take what was allowed."""
    n = sum(len(run.energies) for run in read_relaxation_runs(log.folder))
    assert n > 0
    assert len(log.trials()) + n <= 60


def test_a_short_budget_is_kept_for_the_relaxation(tmp_path: Path) -> None:
    """A quarter of it at most; a run that dies in it goes on there, and nothing is repeated."""
    short = campaign(12).run(tmp_path / "whole", seed=1, progress=False)
    (run,) = read_relaxation_runs(short.folder)
    assert len(short.trials()) == 9
    assert len(run.energies) == 3
    assert "final relaxation" in short.sessions()[-1]["reason"]
    again = campaign(12).run(short.folder, seed=1, progress=False)
    assert again.relaxations() == short.relaxations()
    calls = 11

    def dying(atoms: Atoms) -> dict[str, Any]:
        nonlocal calls
        calls -= 1
        if not calls:
            raise KeyboardInterrupt
        return butane(atoms)

    broken = campaign(12)
    object.__setattr__(broken.evaluator, "function", dying)
    object.__setattr__(broken.evaluator, "description", campaign(12).evaluator.description)
    with pytest.raises(KeyboardInterrupt):
        broken.run(tmp_path / "parts", seed=1, progress=False)
    parts = campaign(12).run(tmp_path / "parts", seed=1, progress=False)
    (resumed,) = read_relaxation_runs(parts.folder)
    assert resumed.energies == run.energies
    assert resumed.report == run.report


def test_no_other_structure_is_evaluated_where_the_start_fails(tmp_path: Path) -> None:
    """What would be relaxed then is not the minimum whose name its folder has."""
    log = campaign(4, None).run(tmp_path, seed=1, progress=False)
    X = log.trial_records()[0].X + 0.3
    broken = campaign(4, None)
    object.__setattr__(broken.evaluator, "function", math.sqrt)  # of atoms: an error
    object.__setattr__(broken.evaluator, "description", campaign(4).evaluator.description)
    for n_attempts in (1, 2, 2):  # once more in the next run
        with broken.open(tmp_path, seed=1):
            session, line = broken._open_session, ProgressLine(False)
            relaxation = SeparateRelaxation(session, SETTINGS, InProcess(), line)
            relaxation.relax(X, None, StartEvaluated())
        (run,) = read_relaxation_runs(tmp_path)
        assert run.energies == (None,)
        assert run.end is None
        (trial,) = Log(run.folder).trial_records()
        assert (trial.state, trial.attempt) == ("failed", n_attempts)


def test_criterion_ends_the_search_at_once() -> None:
    """A structure with an energy is relaxed and nothing else, while evaluations and time last."""
    stop = StartEvaluated(3, lambda seconds: seconds > 10)
    assert stop.reason(Progress()) is None
    assert (
        stop.reason(Progress(lowest_initial_energy=1.0)) == "one structure, which was to be relaxed"
    )
    assert stop.reason(Progress((1.0,))) is not None
    assert stop.reason(Progress((None,))) == "the structure to relax has no energy"
    assert stop.remaining(Progress((1.0,))) == 2
    assert stop.remaining(Progress((1.0,) * 4)) == 0
    assert stop.remaining(Progress((1.0,), seconds=11.0)) == 0
    assert StartEvaluated().remaining(Progress()) is None
