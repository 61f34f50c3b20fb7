"""The picture of the surrogate's page: an atom pulled out of Cu15, half a minute on a core."""

import matplotlib

matplotlib.use("Agg")  # no window

import matplotlib.pyplot as plt

import bostruct as bo
from bostruct.bench.uncertainty.held_out_data import PULL_OUT_DISTANCES, held_out_sets

SURROGATES = {
    "environments alone": bo.surrogates.LocalGP(
        pair_term=None, embedding_term=None, species_constants=None
    ),
    "the default, with pairs and densities": bo.surrogates.LocalGP(),
}

if __name__ == "__main__":
    (scan,) = (each for each in held_out_sets(100, 10) if each.kind == "pull-out")
    n = len(PULL_OUT_DISTANCES)
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
    for axis, (name, surrogate) in zip(axes, SURROGATES.items(), strict=True):
        prediction = surrogate.fit(scan.train).predict(scan.test[:n])
        mean, sigma = prediction.mean, prediction.variance.sqrt()
        low, high = ((mean + k * sigma).tolist() for k in (-2, 2))
        axis.fill_between(PULL_OUT_DISTANCES, low, high, color="#0072b2", alpha=0.3, label="2σ")
        axis.plot(PULL_OUT_DISTANCES, mean.tolist(), color="#0072b2", label="predicted")
        axis.plot(PULL_OUT_DISTANCES, scan.test.energy[:n].tolist(), "k.", label="EMT")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("distance of an atom from its place, Å")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("energy, eV")
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig("pull-out.png", dpi=130)
