"""Which failures may be asked for once more: a pure function of the log.

A calculation that did not converge fails again; one that was killed by its queue may
well succeed. Which of the two a campaign has to do with, its own second attempts tell.
Where structures are separate members and cannot be replaced by one next to them, a
failed one is open to the search again, once, and as long as that has paid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bostruct.campaign.records import Trial
from bostruct.spaces import Space

MIN_SUCCESS_PROBABILITY = 1 / 3
"""The least chance that a second attempt succeeds: the first two may both fail."""


def retry_candidates(trials: Sequence[Trial], space: Space) -> list[Trial]:
    """Return the trials that failed and may be asked for once more.

    Another evaluation has succeeded since, which a broken evaluator cannot. The chance
    of success is (s + 1) / (n + 2) after s of n second attempts (Laplace's rule).

    Args:
        trials: All so far, in the order asked.
        space: Of separate members.
    """
    failed = [trial for trial in trials if trial.state == "failed" and not trial.is_initial_data]
    last = max(
        (t.number for t in trials if t.state == "done" and not t.is_initial_data),
        default=-1,
    )
    if not failed or failed[0].number > last:
        return []
    X = torch.stack([trial.X for trial in trials])
    twins = space.is_duplicate(torch.stack([t.X for t in failed]).unsqueeze(1), X)  # [f, t]
    single, tried, worked = [], 0, 0
    for trial, row in zip(failed, twins, strict=True):
        others = [trials[i] for i in row.nonzero().flatten().tolist()]
        later = [other for other in others if other.number > trial.number]
        if len(others) == 1 and trial.number < last:
            single.append(trial)
        tried += sum(other.is_finished for other in later)
        worked += sum(other.state in ("done", "retracted") for other in later)
    return single if (worked + 1) / (tried + 2) >= MIN_SUCCESS_PROBABILITY else []
