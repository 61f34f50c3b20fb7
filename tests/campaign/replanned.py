"""Check that a log says all that its suggestions depend on."""

import torch


def assert_replanned(made, folder):
    """Plan every step of the search again; it is what the log holds, to the last bit."""
    log = made.read(folder)
    for step in log.steps():
        if step.kind in ("initial_data", "relaxation"):
            continue
        planned = made.replan(folder, step.number)
        trials = [trial for trial in log.trial_records() if trial.step == step.number]
        assert torch.equal(planned.X, torch.stack([trial.X for trial in trials]))
        assert planned.kind == step.kind
        assert list(planned.pending_trials) == list(step.pending_trials)
        assert list(planned.training_trials) == list(step.training_trials)
        if step.file:
            tensors = log.posterior_tensors(step.number)
            assert planned.tensors.keys() >= tensors.keys()
            assert all(torch.equal(planned.tensors[name], tensors[name]) for name in tensors)
    return log
