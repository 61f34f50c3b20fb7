"""The most stable cluster of 7 Lennard-Jones atoms, in units of ε and σ.

The lowest energy is -16.505384, the pentagonal bipyramid; three other minima lie above
it. The campaign ends within 0.05 of it, or after 100 energies. An energy costs less
than a millisecond, so all the time is the search's own.

ASE cuts the potential off at 3 σ unless told otherwise; `rc=100` is the problem of the
literature. Its bond is 1.12 σ long, so `atomic_radii` replaces argon's covalent radius by
half of that, and the lengths and energies of this campaign are σ and ε in place of Å and eV.
"""

from ase.calculators.lj import LennardJones

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Cluster("Ar7", atomic_radii={"Ar": 0.56}),
    evaluator=bo.evaluators.Calculator(
        LennardJones, sigma=1.0, epsilon=1.0, rc=100.0, smooth=False
    ),
    stop=bo.stop.EnergyReached(-16.46) | bo.stop.Evaluations(100),
)

if __name__ == "__main__":
    campaign.run("runs/lj7_cluster", seed=0)
