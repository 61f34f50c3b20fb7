import pytest
import torch

from bostruct.campaign import stop
from bostruct.errors import InputError
from bostruct.evaluators import Evaluation, Failure, Function, current_context
from tests.campaign import alloys
from tests.campaign.replanned import assert_replanned
from tests.campaign.standin import campaign, energy, start


def some_fail(atoms):
    """Every fourth trial fails, every second one of these for good."""
    context = current_context()
    if context.trial % 4 == 3 and context.attempt == 1:
        return Failure("lost its license", retryable=context.trial % 8 == 3)
    return energy(atoms)


def test_every_step_of_an_asynchronous_run_is_planned_again(tmp_path):
    initial = start(True, True, None)
    made = campaign(
        Function(some_fail), 14, batch_size=3, asynchronous=True, initial_structures=initial
    )
    made.run(tmp_path / "run")
    log = assert_replanned(made, tmp_path / "run")
    assert len(log.trials("failed")) >= 1
    assert any(step.pending_trials for step in log.steps())


def test_results_in_any_order_retractions_and_retries_change_no_step(tmp_path):
    """Each step rests on what was known at its time, whatever was told later."""
    made = campaign(batch_size=4, asynchronous=True)
    with made.open(tmp_path / "run") as opened:
        flying = opened.ask()
        for i in range(12):
            trial = flying.pop((7 * i) % len(flying))
            if i in (3, 6):
                opened.tell(trial, Failure("not converged"))
            else:
                value, forces = energy(trial.atoms)
                opened.tell(trial, Evaluation(value, torch.tensor(forces)))
            flying += opened.ask()
            assert len(flying) == 4
        opened.retract(opened.log.trials("done")[2])
        (again, _) = opened.retry()
        opened.tell(again, Evaluation(-1.0))
    log = assert_replanned(made, tmp_path / "run")
    assert len(log.trials("retracted")) == 1


def test_objectives(tmp_path):
    made = alloys.campaign(batch_size=3, asynchronous=True, stop=stop.Evaluations(12))
    made.run(tmp_path / "run")
    assert_replanned(made, tmp_path / "run")


def test_what_the_search_has_not_planned_is_refused(tmp_path):
    made = campaign(n=2, initial_structures=start(True, True))
    made.run(tmp_path / "run")
    with pytest.raises(InputError, match=r"`step` must be one of .*, got 0, initial_data"):
        made.replan(tmp_path / "run", 0)
    with pytest.raises(InputError, match="got 99, none of the log"):
        made.replan(tmp_path / "run", 99)
