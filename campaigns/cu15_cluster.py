"""The most stable cluster of fifteen copper atoms, with the EMT potential.

The lowest known energy is 10.6575 eV; the campaign ends within 0.05 eV of it, or after
100 energies. EMT costs milliseconds, so nearly all the time is the search's own.

Where the answer is not known, replace the first stop rule, say by
`bo.stop.NoImprovement(30)`.
"""

from ase.calculators.emt import EMT

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Cluster("Cu15"),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.EnergyReached(10.70) | bo.stop.Evaluations(100),
)

if __name__ == "__main__":
    campaign.run("runs/cu15_cluster", seed=0)
