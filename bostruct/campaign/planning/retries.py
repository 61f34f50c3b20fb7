"""Failed members of a discrete space that may be evaluated a second time.

A calculation that did not converge fails again; one that was killed by its queue may
well succeed. The success of the campaign's own second attempts tells these cases apart.
Members cannot be replaced by a structure next to them, so a failed one is open to the search
again, once, and as long as second attempts succeed often enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.campaign.records import Trial
from bostruct.spaces import Space

MIN_SUCCESS_PROBABILITY = 1 / 3
"""The least estimated probability that a second attempt succeeds: the first two may both fail."""


def retry_candidates(
    trials: Sequence[Trial], space: Space, columns: TrialColumns | None = None
) -> list[Trial]:
    """Return the trials that failed and may be evaluated a second time.

    Another evaluation has succeeded since, which a broken evaluator cannot. The probability
    of success is (s + 1) / (n + 2) after s successes of n second attempts (Laplace's rule).

    Args:
        trials: All trials so far, in the order asked.
        space: A space of separate members.
        columns: Columns of the trials, kept from the step before.
    """
    failed = [trial for trial in trials if trial.state == "failed" and not trial.is_initial_data]
    last = max(
        (t.number for t in trials if t.state == "done" and not t.is_initial_data),
        default=-1,
    )
    if not failed or failed[0].number > last:
        return []
    duplicates = (columns or TrialColumns()).duplicates(trials, space)
    untried, n_attempts, n_successes = [], 0, 0
    for i, rows in sorted(duplicates.items()):
        trial = trials[i]
        if trial.is_initial_data:
            continue
        attempts = [trials[row] for row in rows]
        later = [attempt for attempt in attempts if attempt.number > trial.number]
        if len(attempts) == 1 and trial.number < last:
            untried.append(trial)
        n_attempts += sum(attempt.is_finished for attempt in later)
        n_successes += sum(attempt.state in ("done", "retracted") for attempt in later)
    probability = (n_successes + 1) / (n_attempts + 2)
    return untried if probability >= MIN_SUCCESS_PROBABILITY else []
