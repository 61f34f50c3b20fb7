"""ParEGO: expected improvement on one random weighting of the objectives.

[K06] J. Knowles, IEEE Trans. Evol. Comput. 10, 50 (2006),
      doi:10.1109/TEVC.2005.851274.
[D20] S. Daulton, M. Balandat, E. Bakshy, NeurIPS 2020, arXiv:2006.05078.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from botorch.acquisition import logei
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.multi_objective import parego
from botorch.acquisition.objective import GenericMCObjective
from botorch.utils.multi_objective.scalarization import get_chebyshev_scalarization
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import check_context
from bostruct.acquisition.monte_carlo import MultiObjectiveMonteCarlo, sobol_sampler
from bostruct.acquisition.multi_objective.hypervolume_improvement import log_ehvi
from bostruct.acquisition.multi_objective.normalization import NormalizedContext

MIN_MEAN_RANGE = 1e-6
"""Range of the posterior means at the baseline, in fractions of reference to ideal, below which
the scalarization would divide by rounding errors."""


@final
@dataclass(frozen=True)
class qLogNParEGO(MultiObjectiveMonteCarlo):  # noqa: N801 - BoTorch's prefix of q-batches
    """Log expected improvement on an augmented Chebyshev scalarization [K06], [D20].

    The weights are drawn uniformly from the simplex, with the seed of the context, so that
    other steps look at other parts of the front. Cheap for many objectives, as there are no
    boxes.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm.

        While no evaluated structure can be on the front there is nothing to improve on, and
        the value is that of `qLogExpectedHypervolumeImprovement`.
        """
        check_context(self, context)
        normalized = NormalizedContext(context)
        X, pending = normalized.baseline_and_pending()
        if not len(X):
            return log_ehvi(normalized, self.n_samples)
        w = random_simplex_weights(normalized.n_objectives, context.seed)
        w = w.to(normalized.reference_point)
        objective = normalized.multi_output_objective()
        arguments = {
            "model": normalized.model,
            "X_baseline": X,
            "sampler": sobol_sampler(self.n_samples, context.seed),
            "X_pending": pending,
            "prune_baseline": False,
            **normalized.constraint_arguments(),
        }
        with torch.no_grad():
            Y = objective(normalized.model.posterior(X).mean)  # [<= t, m]
        if (Y.amax(dim=0) - Y.amin(dim=0) > MIN_MEAN_RANGE).all():
            return parego.qLogNParEGO(scalarization_weights=w, objective=objective, **arguments)
        # BoTorch would divide by the range of the baseline, which has none.
        ends = torch.stack([torch.zeros_like(w), torch.ones_like(w)])
        scalarization = get_chebyshev_scalarization(w, ends)
        return logei.qLogNoisyExpectedImprovement(
            objective=GenericMCObjective(lambda Y, X=None: scalarization(objective(Y), X)),
            **arguments,
        )


def random_simplex_weights(m: int, seed: int) -> Tensor:
    """Return a uniform draw from the simplex of `m` weights, `[m]`.

    Exponential numbers, divided by their sum, are uniform on it.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.empty(m, dtype=torch.float64).exponential_(generator=generator)
    return draws / draws.sum()
