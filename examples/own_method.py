"""An uncertainty method of your own, compared with those that are there.

A method is anything with `fit(structures)`, whose result has `predict(structures)`. This one is a
committee of Gaussian processes on subsamples of the data. Run as a script, it is compared on small
copper clusters; on data of yours,

    bostruct uncertainty compare data.extxyz --method examples/own_method.py
"""

from dataclasses import dataclass

import torch

from bostruct.bench.uncertainty import compare
from bostruct.bench.uncertainty.datasets import ClusterDataset
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP
from bostruct.uncertainty import Prediction, ensemble_mean_variance, subsample_rows


@dataclass(frozen=True)
class Committee:
    """Gaussian processes, each trained on a subsample of the structures."""

    n_members: int = 6

    def fit(self, structures):
        """Return the fitted committee."""
        generator = torch.Generator().manual_seed(0)
        subsamples = subsample_rows(len(structures), self.n_members, generator)
        return FittedCommittee([LocalGP().fit(structures[rows]) for rows in subsamples])


@dataclass(frozen=True)
class FittedCommittee:
    """The fitted Gaussian processes."""

    models: list

    def predict(self, structures: Structures, *, force_variance=False) -> Prediction:
        """Return means and the spread of the members."""
        members = [model.predict(structures) for model in self.models]
        energy = ensemble_mean_variance(torch.stack([member.mean for member in members]))
        forces = ensemble_mean_variance(torch.stack([member.forces for member in members]))
        return Prediction(
            mean=energy.mean,
            variance=energy.variance,
            noise_variance=torch.zeros_like(energy.mean),
            forces=forces.mean,
            force_variance=forces.variance if force_variance else None,
        )


committee = Committee()

if __name__ == "__main__":
    data = ClusterDataset("Cu7", bfgs_steps=(3, 15)).sample(60)
    methods = {"committee": committee, "LocalGP": LocalGP()}
    comparison = compare(data, methods, n_train=12, n_calibrate=20, out="runs/own_method")
    for row in comparison.rows:
        if row.scores:
            z2 = row.scores.z2
            print(f"{row.dataset}, {row.quantity}, {row.method}: z² {z2:.2f}, {row.verdict}")
