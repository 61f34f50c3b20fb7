import math

import pytest
from ase.calculators.emt import EMT

from bostruct.bench import CampaignMethod, Setting, Task
from bostruct.bench.single_objective.campaign_method import without_stress
from bostruct.bench.single_objective.crystals import CRYSTALS
from bostruct.bench.single_objective.settings import named_setting
from bostruct.campaign import Log
from bostruct.campaign.analysis.calibration import online_calibration
from bostruct.campaign.enthalpy import PRESSURE_ENERGY
from bostruct.errors import InputError, LogError, MismatchError
from bostruct.evaluators import Calculator, Function
from bostruct.spaces import Cluster
from tests.bench.problems import DEFAULT, PARTS, TINY, task
from tests.campaign import crystals
from tests.campaign.standin import GP, Draw, Points, energy


def test_a_run_is_a_campaign_that_stops_when_the_task_is_solved(tmp_path):
    method = CampaignMethod(DEFAULT, max_evaluations=60)
    run = method.run(task(), 1, tmp_path)
    assert run.is_finished
    assert run.evaluations_to_success == len(run.energies) > 4
    assert run.energies[-1] <= task().target_energy < min(run.energies[:-1])
    log = Log(tmp_path / "chain" / "seed-001")
    assert (log.seed, len(log.trials("done"))) == (1, run.evaluations_to_success)
    assert len(run.step_seconds) == run.evaluations_to_success - 4, (
        "the random step has no surrogate"
    )
    assert all(part >= 0 for parts in run.step_seconds for part in parts)


def test_what_was_expected_of_each_energy_is_in_the_run(tmp_path):
    run = CampaignMethod(DEFAULT, max_evaluations=8).run(task(reference=-99.0), 1, tmp_path)
    trials = Log(tmp_path / "chain" / "seed-001").trials()
    assert run.predictions[:4] == (None,) * 4, "random structures"
    for belief, trial in zip(run.predictions[4:], trials[4:], strict=True):
        assert belief.mean == trial.mean
        assert belief.latent_std**2 == pytest.approx(trial.latent_variance)
        assert belief.predictive_std**2 == pytest.approx(trial.predictive_variance)
    assert run.z2 == pytest.approx(online_calibration(trials).mean_z2)
    assert run.coverage_1sigma == online_calibration(trials).coverage()[0]


def test_cpu_time_of_all_sessions_adds_up(tmp_path):
    method = CampaignMethod(DEFAULT, max_evaluations=6)
    first = method.run(task(reference=-99.0), 1, tmp_path)
    assert first.cpu_seconds > 0
    assert first.cpu_seconds_per_evaluation == first.cpu_seconds / 6
    longer = CampaignMethod(DEFAULT, max_evaluations=9).run(task(reference=-99.0), 1, tmp_path)
    assert longer.cpu_seconds > first.cpu_seconds
    assert method.read(task(reference=-99.0), 1, tmp_path).cpu_seconds == longer.cpu_seconds


def test_a_task_with_starts_of_its_own_begins_with_them(tmp_path):
    from ase import Atoms

    def start(seed):
        return Atoms("Cu2", [(0, 0, 0), (2.2 + seed / 2**31, 0, 0)])

    pair = Task("pair", lambda: Cluster("Cu2"), Function(gap), -1.0, make_start=start)
    method = CampaignMethod(Setting("default", {"search": Draw()}), max_evaluations=2)
    distances = []
    for seed in (0, 1):
        method.run(pair, seed, tmp_path)
        trials = Log(tmp_path / "pair" / f"seed-{seed:03d}").trials()
        distances += [abs(float(trial.X[0] - trial.X[3])) for trial in trials]
    assert all(2.2 <= distance <= 3.2 for distance in distances)
    assert len(set(distances)) == 4


def gap(atoms):
    return atoms.get_distance(0, 1)


class Lost(GP):
    """A surrogate whose predictions are no numbers."""

    def fit(self, structures, space=None):
        model = super().fit(structures, space)
        model.y = model.y * float("nan")
        return model


def test_a_prediction_that_is_no_number_is_kept_as_one(tmp_path):
    setting = Setting("default", {**PARTS, "surrogate": Lost()})
    run = CampaignMethod(setting, max_evaluations=6).run(task(reference=-99.0), 1, tmp_path)
    assert len(run.energies) == 6, "random structures are asked for instead"
    assert all(math.isnan(belief.mean) for belief in run.predictions[4:])
    assert run.z2 == math.inf


def test_a_run_without_anything_new_to_ask_for_has_ended(tmp_path):
    few = Task("few", lambda: Points(5), Function(energy), -99.0)
    run = CampaignMethod(DEFAULT, max_evaluations=40).run(few, 0, tmp_path)
    assert run.is_finished
    assert run.evaluations_to_success is None
    assert run.reason == "every structure that was found has been evaluated"
    assert len(run.energies) <= 5


def test_reading_is_the_same_and_changes_nothing(tmp_path):
    method = CampaignMethod(DEFAULT, max_evaluations=6)
    assert method.read(task(), 0, tmp_path).energies == ()
    assert list(tmp_path.iterdir()) == []
    run = method.run(task(reference=-99.0), 0, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    again = method.run(task(reference=-99.0), 0, tmp_path)
    assert again == run
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_larger_cap_goes_on_and_a_smaller_one_looks_at_the_start(tmp_path):
    hard = task(reference=-99.0)
    long = CampaignMethod(DEFAULT, max_evaluations=9).run(hard, 1, tmp_path / "whole")
    short = CampaignMethod(DEFAULT, max_evaluations=6).run(hard, 1, tmp_path)
    assert (len(short.energies), short.evaluations_to_success, short.is_finished) == (6, None, True)
    again = CampaignMethod(DEFAULT, max_evaluations=9).run(hard, 1, tmp_path)
    assert again.energies == long.energies
    start = CampaignMethod(DEFAULT, max_evaluations=7).read(hard, 1, tmp_path)
    assert start.is_finished
    assert start.best_energy == min(long.energies[:7])
    assert len(start.step_seconds) == 3, "steps beyond the cap are not counted"


def test_settings_have_folders_and_names_of_their_own(tmp_path):
    assert CampaignMethod(DEFAULT).name == "bostruct"
    assert CampaignMethod(TINY).name == "bostruct tiny"
    CampaignMethod(TINY, max_evaluations=4).run(task(), 0, tmp_path)
    assert (tmp_path / "chain" / "tiny" / "seed-000").is_dir()


def test_failed_evaluations_count(tmp_path):
    def fails_at_first(atoms):
        if atoms.positions[0, 0] > 3:
            raise RuntimeError("not converged")
        return energy(atoms)

    run = CampaignMethod(DEFAULT, max_evaluations=8).run(
        task("f", -99.0, fails_at_first), 0, tmp_path
    )
    assert len(run.energies) == 8
    assert None in run.energies


class Breaks(Draw):
    def __call__(self, value, space, known, energies, generator):
        raise ValueError("singular kernel")


def test_a_run_that_cannot_go_on_has_failed_and_says_why(tmp_path):
    setting = Setting("default", {**PARTS, "search": Breaks()})
    run = CampaignMethod(setting, max_evaluations=8).run(task(reference=-99.0), 0, tmp_path)
    assert run.is_finished
    assert run.evaluations_to_success is None
    assert run.reason == "ValueError: singular kernel"
    assert len(run.energies) == 4


def test_another_campaign_or_something_else_is_refused(tmp_path):
    CampaignMethod(DEFAULT, max_evaluations=4).run(task(), 0, tmp_path)
    other = Setting("default", {**PARTS, "surrogate": GP("other")})
    with pytest.raises(MismatchError, match=r"another campaign: surrogate\.(type|kind) is"):
        CampaignMethod(other).read(task(), 0, tmp_path)
    (tmp_path / "chain" / "seed-001").mkdir()
    (tmp_path / "chain" / "seed-001" / "mine").touch()
    with pytest.raises(LogError, match="is not a run folder and not empty"):
        CampaignMethod(DEFAULT).run(task(), 1, tmp_path)


def test_refuses_a_cap():
    with pytest.raises(InputError, match="`max_evaluations` must be an integer of at least"):
        CampaignMethod(max_evaluations=0)


def test_refuses_a_folder_that_cannot_be_used_mid_run(tmp_path, monkeypatch):
    """A full disk is not the campaign's failure: it is raised, and the run goes on."""

    def full(*_, **__):
        raise LogError("could not write: no space left on device")

    monkeypatch.setattr("bostruct.campaign.Campaign.run", full)
    with pytest.raises(LogError, match="no space left"):
        CampaignMethod(DEFAULT).run(task(), 0, tmp_path)


def test_enthalpies_are_what_counts_under_a_pressure(tmp_path):
    space = crystals.Cells(0.3)
    squeezed = Task("squeezed", lambda: space, Calculator(EMT), -99.0)
    setting = Setting("default", {**PARTS, "surrogate": crystals.CellsGP()})
    run = CampaignMethod(setting, max_evaluations=6).run(squeezed, 0, tmp_path)
    trials = Log(tmp_path / "squeezed" / "seed-000").trials()
    work = [t.properties[PRESSURE_ENERGY] for t in trials]
    assert run.energies == pytest.approx([t.energy + w for t, w in zip(trials, work, strict=True)])
    assert run.predictions[-1].mean == pytest.approx(trials[-1].mean + work[-1])


def test_stresses_may_be_left_out(tmp_path):
    evaluator = Calculator(EMT)
    free = Task("free", crystals.Cells, evaluator, -99.0)
    lacks = Setting("lacks", PARTS, without_stress=True)
    method = CampaignMethod(lacks, max_evaluations=2)
    method.run(free, 0, tmp_path)
    trials = Log(tmp_path / "free" / "lacks" / "seed-000").trials()
    assert all(trial.stress is None for trial in trials)
    assert evaluator.with_stress
    assert method.suits(free)
    assert not method.suits(Task("pressed", lambda: crystals.Cells(0.1), evaluator, -99.0))
    assert not method.suits(task())
    with pytest.raises(InputError, match="be a Calculator for a search without stresses, got Func"):
        without_stress(Function(energy))


def test_an_ablation_of_what_a_space_lacks_is_left_out():
    permute = CampaignMethod(named_setting("without-permute"))
    assert permute.suits(CRYSTALS["nacl4_crystal"])
    assert not permute.suits(CRYSTALS["si8_crystal"])
    assert CampaignMethod(named_setting("without-symmetric")).suits(CRYSTALS["si8_crystal"])
