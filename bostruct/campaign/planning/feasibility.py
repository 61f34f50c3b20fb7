"""Feasibility of candidates: the probability that an evaluation succeeds, learnt from failures.

Structures of one kind fail for a reason of theirs, as dissociated ones do whose self-consistent
field never converges; others fail because of a license or a node, wherever they are. The failures
themselves tell these apart: with weights k between structures,

    p_i = (a π + sum_j k_ij y_j) / (a + sum_j k_ij)      π the overall share of successes

a Beta posterior mean in which similar structures count, y = 1 for a success. The width of k is the
one under which each outcome is most probable given all others, and an infinite one, with which p is
the same everywhere, unless a finite one is better by `MIN_EVIDENCE`.

Similar are structures with the same bonds. Notation:

    x [n, k]   1   k-th strongest bond of an atom, 1 / (1 + exp((r - 1) / w)), with r the distance
                   over the sum of the radii: 1/2 at the length of a bond, 0 out of reach
    F [b, f]   1   features of a structure: quantiles of each x over its movable atoms, shares of
                   the elements and of the pairs of elements among its bonds
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.candidates import Candidates
from bostruct.spaces import Space
from bostruct.structures import Structures, build_neighbor_list

CUTOFF_FACTOR = 2.0
"""Distance out of reach, in lengths of the longest bond."""

N_NEIGHBORS = 4
"""Number of strongest bonds of an atom in the features."""

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Quantiles over the atoms of a structure; the least finds a single atom far from all others."""

BOND_WIDTH = 0.2
"""Width w of a bond, in lengths of one, within which it weakens by a factor of e."""

MIN_BOND = 0.22
"""Least x of two atoms that count as bonded: a distance a quarter longer than the radii."""

PRIOR_WEIGHT = 1.0
"""Number of outcomes, a, that the overall share of successes counts for."""

WIDTH_QUANTILES = (0.01, 0.03, 0.1, 0.3)
"""Widths of the weights, as quantiles of the distances between evaluated structures."""

MIN_EVIDENCE = 2.0
"""Logarithm of the factor by which a finite width must make the outcomes more probable."""

CERTAIN_PROBABILITY = 0.5
"""Probability of success from which on a candidate always takes part."""

ROUNDING = 1e-12
"""Least probability of an outcome."""

MAX_JUDGED = 2048
"""Largest number of candidates that are judged, the best."""

MAX_COMPARED = 1024
"""Largest number of evaluated structures that candidates are compared with, the last."""

WIDTH_RESOLUTION = 16
"""Number of times that the width is selected while the outcomes, or the failures, double."""


def infeasible_candidates(
    step: StepContext, trials: Sequence[Trial], candidates: Candidates
) -> Tensor | None:
    """Return which candidates take no part in a step, `[c]` bool; None where no failure tells.

    One with the probability of success p takes part in a step with the probability (p / r)², with
    r the largest p of all, at most `CERTAIN_PROBABILITY`. So a kind of structures is asked for ever
    less, and never given up. All candidates of a step share one random number.

    Args:
        step: Step that is planned.
        trials: All trials so far.
        candidates: Candidates of the search.
    """
    known = step.columns.select("is outcome", trials, _is_outcome)
    success = step.columns.each("success", known, _is_success)
    y = torch.tensor(success[-MAX_COMPARED:], dtype=torch.float64)
    if not len(y) or bool(y.all()) or not bool(y.any()):
        return None
    space = step.components.space
    features = step.columns.each(
        "features", known, lambda trial: structure_features(space, trial.X.unsqueeze(0))[0]
    )
    n = step.columns.fold("width outcomes", known, count_width_outcomes, (0, 0, 0))[2]
    selected = slice(max(n - MAX_COMPARED, 0), n)

    def most_probable_width() -> float | None:
        outcomes = torch.tensor(success[selected], dtype=torch.float64)
        return select_width(torch.stack(features[selected]), outcomes)

    width = step.columns.cached("width", known[:n], most_probable_width)
    if width is None:
        return None
    F = torch.stack(features[-MAX_COMPARED:])
    order = candidates.acq_value.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    judged = order[:MAX_JUDGED]
    found = structure_features(space, candidates.X[judged].detach().cpu().double())
    p = success_probability(torch.cdist(found, F), y, width)
    u = torch.rand((), generator=step.generator_for("feasibility"), dtype=torch.float64)
    infeasible = torch.zeros_like(candidates.acq_value, dtype=torch.bool)
    reference = p.max().clamp(max=CERTAIN_PROBABILITY)
    infeasible[judged] = (p < u.sqrt() * reference).to(infeasible.device)
    return infeasible


def _is_outcome(trial: Trial) -> bool:
    """Return whether a trial succeeded, or failed for a reason that may be one of the structure."""
    if trial.state == "failed":
        return not trial.retryable and not trial.is_initial_data
    return trial.state in ("done", "retracted")


def _is_success(trial: Trial) -> bool:
    return trial.state != "failed"


def count_width_outcomes(counts: tuple[int, int, int], trial: Trial) -> tuple[int, int, int]:
    """Return the numbers of outcomes, of failures, and of outcomes that the width is selected from.

    The last one follows the first whenever the outcomes or the failures are a
    `WIDTH_RESOLUTION`-th more, so that the pairs of thousands of structures are not compared in
    every step.

    Args:
        counts: Numbers before the outcome of a trial.
        trial: Trial.
    """
    n, n_failed, n_selected = counts
    new = n + 1, n_failed + (not _is_success(trial))
    is_more = _level(new[0]) > _level(n) or _level(new[1]) > _level(n_failed)
    return *new, new[0] if is_more else n_selected


def _level(count: int) -> int:
    """Return a count rounded down to one of `WIDTH_RESOLUTION` values in each factor of two."""
    unit = 1 << max(count.bit_length() - WIDTH_RESOLUTION.bit_length(), 0)
    return count // unit * unit


def select_width(F: Tensor, y: Tensor) -> float | None:
    """Return the most probable width of the weights; None if the outcomes depend on no feature.

    Args:
        F: `[t, f]` features of evaluated structures.
        y: `[t]` 1 for a success, 0 for a failure.
    """
    D = torch.cdist(F, F)
    distances = D[tuple(torch.triu_indices(len(D), len(D), 1))].sort().values
    best, best_width = _left_out_evidence(D, y, torch.inf) + MIN_EVIDENCE, None
    for quantile in WIDTH_QUANTILES:
        width = float(distances[int(quantile * (len(distances) - 1))])
        if width > 0 and (evidence := _left_out_evidence(D, y, width)) > best:
            best, best_width = evidence, width
    return best_width


def success_probability(D: Tensor, y: Tensor, width: float) -> Tensor:
    """Return the probability of success at distances `[c, t]` from evaluated structures, `[c]`.

    Args:
        D: `[c, t]` distances.
        y: `[t]` 1 for a success, 0 for a failure.
        width: Width of the weights.
    """
    k = torch.exp(-0.5 * (D / width).square())
    return _beta_mean(k, y, (y.sum() + 1) / (len(y) + 2))


def _beta_mean(k: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """Return the posterior mean from weights k `[c, t]`, outcomes y `[t]` and the prior mean."""
    return (PRIOR_WEIGHT * share + k @ y) / (PRIOR_WEIGHT + k.sum(-1))


def _left_out_evidence(D: Tensor, y: Tensor, width: float) -> float:
    """Return the log probability of the outcomes, each predicted from all others.

    With an infinite width each is predicted by the overall share of the others.
    """
    p = (y.sum() - y + 1) / (len(y) + 1)
    if width < torch.inf:
        k = torch.exp(-0.5 * (D / width).square()).fill_diagonal_(0)
        p = _beta_mean(k, y, p)
    p = p.clamp(ROUNDING, 1 - ROUNDING)
    return float(torch.where(y > 0, p, 1 - p).log().sum())


def structure_features(space: Space, X: Tensor) -> Tensor:
    """Return the features F `[b, f]` of structures X `[b, d]`."""
    return torch.cat([_features(space.decode(part), space) for part in X.split(256)])


def _features(structures: Structures, space: Space) -> Tensor:
    species, order = space.numbers.cpu().unique(return_inverse=True)
    radius = torch.zeros(len(species), dtype=torch.float64)
    radius[order] = space.atomic_radii.cpu().double()
    structures = structures.to(device="cpu")
    neighbors = build_neighbor_list(structures, CUTOFF_FACTOR * 2 * float(radius.max()))
    index = torch.searchsorted(species, structures.numbers)
    radii = radius[index]
    vectors = neighbors.vectors(structures.positions, structures.cell)
    r = vectors.norm(dim=-1) / (radii[neighbors.center] + radii[neighbors.neighbor])
    x = torch.sigmoid((1 - r) / BOND_WIDTH)
    _, _, mask = neighbors.to_padded()
    table = radii.new_zeros(mask.shape)
    table[mask] = x
    table = torch.nn.functional.pad(table.sort(-1, descending=True).values, (0, N_NEIGHBORS))
    table = table[:, :N_NEIGHBORS]
    b, s = len(structures), len(species)
    elements = table.new_zeros(b, s).index_put(
        (structures.index, index), torch.ones_like(radii), accumulate=True
    )
    first, second = index[neighbors.center], index[neighbors.neighbor]
    is_bond = (x > MIN_BOND).double()
    bonds = table.new_zeros(b, s, s).index_put(
        (structures.index[neighbors.center], first, second), is_bond, accumulate=True
    )
    bonds = bonds.flatten(1)
    shares = [part / part.sum(-1, keepdim=True).clamp(min=1) for part in (elements, bonds)]
    movable = ~structures.fixed
    quantiles = table.new_tensor(QUANTILES)
    rows = []
    for k in range(b):
        atoms = structures.index == k
        atoms = atoms & movable if bool((atoms & movable).any()) else atoms
        rows.append(torch.quantile(table[atoms], quantiles, dim=0).flatten())
    return torch.cat([torch.stack(rows), *shares], -1)
