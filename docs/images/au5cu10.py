"""The picture of the README: a search for Au5Cu10, about five minutes on two cores."""

import matplotlib

matplotlib.use("Agg")  # no window

import matplotlib.pyplot as plt
from ase.calculators.emt import EMT
from ase.visualize.plot import plot_atoms

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Cluster("Au5Cu10"),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.Evaluations(30),
)

if __name__ == "__main__":
    log = campaign.run("runs/au5cu10", seed=0)
    trials = log.trials("done")
    best = min(trials, key=lambda trial: trial.energy)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), width_ratios=(2.2, 1))
    left.axhline(0, color="lightgrey", lw=1)
    left.errorbar(
        [before.trial for before in log.predictions()],
        [before.prediction.mean - best.energy for before in log.predictions()],
        yerr=[2 * before.prediction.calibrated_sigma for before in log.predictions()],
        fmt="none",
        ecolor="#0072b2",
        elinewidth=2.5,
        alpha=0.45,
        label="predicted before, 2σ, calibrated",
    )
    energies = [trial.energy - best.energy for trial in trials]
    left.plot([trial.number for trial in trials], energies, "k.", label="evaluated")
    lowest = [min(energies[: n + 1]) for n in range(len(energies))]
    left.step(
        [trial.number for trial in trials], lowest, where="post", color="grey", lw=1, label="lowest"
    )
    left.set_ylim(-1, 1.6)
    left.set_xlabel("trial")
    left.set_ylabel("energy above the lowest, eV")
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    plot_atoms(best.atoms, right, rotation="20x,35y,0z", radii=0.9)
    right.set_axis_off()
    right.set_title(f"{best.energy:.3f} eV, trial {best.number}", fontsize=10)
    figure.tight_layout()
    figure.savefig("au5cu10.png", dpi=130)
