"""A first campaign: six copper atoms, and its results.

Run it twice: the second run finds its folder finished and evaluates nothing.
"""

from ase.calculators.emt import EMT

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Cluster("Cu6"),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.Evaluations(10),
)

if __name__ == "__main__":
    log = campaign.run("runs/first_campaign", seed=0)

    for trial in log.trials("done"):
        predicted = "random"
        if trial.mean is not None and trial.predictive_variance is not None:
            predicted = f"{trial.mean:8.4f} ± {trial.predictive_variance**0.5:.4f}"
        print(f"{trial.number:3d}  {trial.energy:8.4f} eV  predicted {predicted}")

    best = min(log.trials("done"), key=lambda trial: trial.energy)
    atoms = bo.structures.to_ase(best.structures)[0]
    atoms.write("runs/first_campaign/best.xyz")
    print(f"best: {best.energy:.4f} eV, runs/first_campaign/best.xyz")
    print("lowest known: 5.9624 eV")
