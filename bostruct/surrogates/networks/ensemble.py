"""Several networks, or several readings of one, and what their differences say.

Notation, with equation numbers of [G25]
    M, b     members, structures
    y  [M, b]   eV    energies of the members, the prior included
    m  [b]      eV    their mean                                            (17)
    t  [M, b]   eV    deviations that members predict for themselves

    covariance = sum (y - m)(y' - m') / (M - ddof)                        (18)
        + mean t² for a structure with itself                               (20)

A deviation is a sum over atoms: the errors of like environments are alike, and those of
N copies of a structure together are N times one's.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_prediction import Belief
from bostruct.surrogates.networks.dataset import Lesson
from bostruct.surrogates.networks.featurizer import Encoder
from bostruct.surrogates.networks.network import Weights
from bostruct.surrogates.networks.training import Loss, misfit


@final
@dataclass(frozen=True, eq=False)
class Crowd:
    """Trained members: a `Believer`.

    Attributes:
        encoder: what comes before the networks.
        weights: of the members.
        masks: `[2, M + 1, h]`, factors on the units of both layers that tell members of
            one network apart, the first all ones: what the whole network says is the
            mean, and the members are moved onto it. Or ones, `[2, 1, h]`.
        ddof: 1 for the divisor M - 1 between members, 0 for M.
        deviates: whether the deviations that members predict count.
        noise: eV per root atom, what the mean misses of the training energies; or,
            where that is counted by the variance, the least deviation it was taught.
        marks: `[3]`, loss, and the misfits of energies in eV per root atom and of
            forces in eV/Å, at the end of training.
    """

    encoder: Encoder
    weights: Weights
    masks: Tensor
    ddof: Tensor
    deviates: Tensor
    noise: Tensor
    marks: Tensor

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        weights: Weights,
        lesson: Lesson,
        loss: Loss,
        *,
        masks: Tensor | None = None,
        ddof: int = 1,
        deviates: bool = False,
        least: float | None = None,
    ) -> Crowd:
        """Return what has been trained on a lesson.

        Args:
            encoder: of the lesson.
            weights: of the members.
            lesson: all of the training data.
            loss: that was minimised.
            masks: `[2, M + 1, h]`, if members are readings of one network.
            ddof: 0 or 1.
            deviates: whether members predict deviations.
            least: deviation that counts as noise, in the scale per root atom; None for
                what the mean misses of the data.
        """
        total, energies, forces = misfit(weights, lesson, loss)
        scale = encoder.scale
        marks = scale.new_tensor([total, energies, forces])
        marks = marks * torch.stack((torch.ones_like(scale), scale, scale))
        if masks is None:
            masks = weights.last.new_ones(2, 1, weights.last.shape[1])
        return cls(
            encoder,
            weights,
            masks.to(weights.last),
            torch.tensor(ddof),
            torch.tensor(deviates),
            marks[1].clone() if least is None else least * scale,
            marks,
        )

    def belief(self, structures: Structures) -> Belief:
        """Return what is believed of b structures.

        Raises:
            InputError: a species it was not trained on.
        """
        x, place = self.encoder(structures)
        prior = self.encoder.prior(structures, place)
        scale, constants = self.encoder.scale, self.encoder.constants[place]
        first, second = self.masks.unsqueeze(2)
        layers = self.weights.hidden(x, place, (first, second))
        local = scale * self.weights.local(layers)  # [M, n]
        zero = local.new_zeros(len(local), len(structures))
        sums = zero.index_add(1, structures.index, local)
        if self.masks.shape[1] > 1:
            local, mean, sums = local[:1], sums[0], sums[1:]
            sums = sums - sums.mean(0) + mean
        else:
            mean = sums.mean(0)
        divisor = max(len(sums) - int(self.ddof), 1)
        own = torch.zeros_like(mean)
        if bool(self.deviates):
            each = scale * self.weights.deviation(layers)
            t = zero.index_add(1, structures.index, each)
            own = t.square().mean(0)
        single = len(sums) == 1
        return Belief(
            mean=prior + mean,
            root=(sums - mean).T[:, single:] / divisor**0.5,
            own=own,
            noise=self.noise**2 * structures.counts,
            local=constants + local.mean(0),
            members=None if single else prior + sums,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        names = ("masks", "ddof", "deviates", "noise", "marks")
        own = {f"crowd_{name}": getattr(self, name) for name in names}
        return self.encoder.tensors() | self.weights.tensors() | own

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> Crowd:
        """Return the crowd that `tensors` were taken from."""
        names = ("masks", "ddof", "deviates", "noise", "marks")
        own = {name: state[f"crowd_{name}"] for name in names}
        return cls(Encoder.restore(state), Weights.restore(state), **own)

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names.

        There is no marginal likelihood: minus the loss at the end of training, over all
        of the data, stands in.
        """
        loss, energies, forces = self.marks.tolist()
        found = {
            "log_marginal_likelihood": -loss,
            "energy_misfit_eV_per_root_atom": energies,
            "force_misfit_eV_per_angstrom": forces,
            "members": float(max(len(self.weights.last), self.masks.shape[1] - 1)),
        }
        return found | self.encoder.hyperparameters()
