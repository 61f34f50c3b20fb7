"""Folders of relaxations of single structures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from bostruct.campaign.relaxation.relaxation_run import (
    RelaxationRun,
    read_relaxation_runs,
    relaxation_folder,
)


def test_folders_of_structures() -> None:
    """A structure without a trial is told by its coordinates."""
    X = torch.tensor([1.0, 2.0])
    assert relaxation_folder(Path("run"), 12, X).name == "trial-000012"
    first, same, other = (
        relaxation_folder(Path("run"), None, Y).name for Y in (X, X.clone(), X + 1)
    )
    assert first == same
    assert same != other
    assert read_relaxation_runs(Path("nowhere")) == []
    run = RelaxationRun(Path("minimum-abc"), None, None, None, (), None, None)
    assert not run.is_converged
    assert run.report_of_search() is None
    assert replace(run, trial=3).report_of_search() is None
