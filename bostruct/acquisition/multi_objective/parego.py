"""ParEGO: expected improvement on one random weighting of the objectives.

[K06] J. Knowles, IEEE Trans. Evol. Comput. 10, 50 (2006),
      doi:10.1109/TEVC.2005.851274.
[D20] S. Daulton, M. Balandat, E. Bakshy, NeurIPS 2020, arXiv:2006.05078.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from botorch.acquisition import logei
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.multi_objective import parego
from botorch.acquisition.objective import GenericMCObjective
from botorch.utils.multi_objective.scalarization import get_chebyshev_scalarization
from torch import Tensor

from bostruct.acquisition.base import describe
from bostruct.acquisition.monte_carlo import sobol_sampler
from bostruct.acquisition.multi_objective.acquisition_context import AcquisitionContext
from bostruct.acquisition.multi_objective.hypervolume_improvement import log_ehvi
from bostruct.acquisition.multi_objective.normalization import NormalizedContext
from bostruct.errors import check_count

# Of the posterior means at the baseline, in shares of reference to ideal: below this
# the scalarisation would divide by rounding errors.
MIN_MEAN_RANGE = 1e-6


@final
@dataclass(frozen=True)
class qLogNParEGO:  # noqa: N801 - BoTorch's prefix of the joint forms
    """Log expected improvement on an augmented Chebyshev scalarisation [K06], [D20].

    The weights are drawn uniformly from the simplex, with the seed of the case: other
    steps look at other parts of the front. Cheap for many objectives, as there are no
    boxes.

    Args:
        n_samples: Quasi-random samples; powers of two are best.
    """

    n_samples: int = 128
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm.

        While nothing observed can be on the front there is nothing to improve on, and
        the gain is that of `qLogExpectedHypervolumeImprovement`.
        """
        scaled = NormalizedContext(context)
        X, pending = scaled.baseline_and_pending()
        if not len(X):
            return log_ehvi(scaled, self.n_samples)
        w = random_simplex_weights(len(context.reference_point), context.seed).to(
            context.reference_point
        )
        objective = scaled.multi_output_objective()
        arguments = {
            "sampler": sobol_sampler(self.n_samples, context.seed),
            "X_pending": pending,
            "prune_baseline": False,
            **scaled.constraint_arguments(),
        }
        with torch.no_grad():
            Y = objective(scaled.model.posterior(X).mean)  # [<= t, m]
        if (Y.amax(dim=0) - Y.amin(dim=0) > MIN_MEAN_RANGE).all():
            return parego.qLogNParEGO(
                scaled.model,
                X,
                scalarization_weights=w,
                objective=objective,
                **arguments,
            )
        # BoTorch would divide by the range of the baseline, which has none.
        ends = torch.stack([torch.zeros_like(w), torch.ones_like(w)])
        scalar = get_chebyshev_scalarization(w, ends)
        return logei.qLogNoisyExpectedImprovement(
            scaled.model,
            X,
            objective=GenericMCObjective(lambda Y, X=None: scalar(objective(Y), X)),
            **arguments,
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


def random_simplex_weights(m: int, seed: int) -> Tensor:
    """Return a uniform draw from the simplex of `m` weights, `[m]`.

    Exponential numbers, divided by their sum, are uniform on it.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.empty(m, dtype=torch.float64).exponential_(generator=generator)
    return draws / draws.sum()
