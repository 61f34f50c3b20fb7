"""The most stable crystal of two formula units of TiO₂, with the potential of Matsui and Akaogi.

Atoms and cell are both unknown: the formula, a guess of the volume and of the shortest distances
are given. The lowest known energy is that of rutile, -79.5437 eV; the campaign ends within 5 meV an
atom of it, or after 60 energies. An energy costs some milliseconds, so nearly all the time is the
search's own.
"""

import bostruct as bo
from bostruct.bench.single_objective.crystal_potentials import matsui_akaogi

campaign = bo.Campaign(
    space=bo.spaces.Crystal(
        "Ti2O4", volume=10.5, min_distance={"O-O": 2.0, "O-Ti": 1.6, "Ti-Ti": 2.4}
    ),
    evaluator=bo.evaluators.Calculator(matsui_akaogi),
    stop=bo.stop.EnergyReached(-79.514) | bo.stop.Evaluations(60),
    final_relaxation=bo.FinalRelaxation(),
)

if __name__ == "__main__":
    campaign.run("runs/tio2_crystal", seed=0)
