import torch

from bostruct.campaign.planning.step_planner import StepPlanner
from tests.campaign.standin import campaign


def test_columns_kept_from_other_steps_change_nothing(tmp_path):
    """A planner that has planned later and earlier steps plans as a new one does."""
    made = campaign(n=8)
    log = made.run(tmp_path / "run")
    trials, steps = log.trial_records(), log.steps()
    used = StepPlanner(made.components, log.seed, torch.device("cpu"))
    for n in (8, 5, 6, 8, 4):
        before = [step for step in steps if step.number <= trials[n - 1].step]
        fresh = StepPlanner(made.components, log.seed, torch.device("cpu"))
        planned, expected = (p.plan(before, trials[:n], 2, effort=0) for p in (used, fresh))
        assert len(planned.X) == 2
        assert torch.equal(planned.X, expected.X)
        assert planned.hyperparameters == expected.hyperparameters
