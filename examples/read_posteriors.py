"""Logged posteriors: predicted against true energies, with error bars.

Left: the prediction of each structure before its energy was known. Right: predictions of all
structures of the run by two of the logged surrogates, rebuilt from disk.
"""

import matplotlib

matplotlib.use("Agg")  # no window

import matplotlib.pyplot as plt
from ase.calculators.emt import EMT

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Cluster("Cu6"),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.Evaluations(12),
)


def plot(log: bo.campaign.Log, path: str) -> None:
    """Save the figure of a log."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)

    trials = [trial for trial in log.trials("done") if trial.mean is not None]
    left.errorbar(
        [trial.energy for trial in trials],
        [trial.mean for trial in trials],
        yerr=[trial.predictive_variance**0.5 for trial in trials],
        fmt="o",
        capsize=2,
    )
    left.set_title("before each energy was known")

    structures = log.structures()
    steps = [step.number for step in log.steps() if step.file]
    for step in (steps[0], steps[-1]):
        model = log.posterior(step)
        prediction = model.predict(structures)
        right.errorbar(
            structures.energy,
            prediction.mean,
            yerr=prediction.predictive_variance.sqrt(),
            fmt="o",
            capsize=2,
            label=f"step {step}",
        )
    right.set_title("by logged surrogates")
    right.legend()

    for axes in (left, right):
        axes.axline((float(structures.energy.min()),) * 2, slope=1, color="grey", lw=1)
        axes.set_xlabel("true energy (eV)")
    left.set_ylabel("predicted energy ± σ (eV)")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    log = campaign.run("runs/read_posteriors", seed=0)
    plot(log, "runs/read_posteriors/predictions.png")
    print("runs/read_posteriors/predictions.png")
