"""The phase diagram of copper and gold at zero temperature, with EMT.

All crystals with up to eight atoms in the cell, of every composition, in one campaign: the energy
above the convex hull is minimized. `bostruct show` prints the stable phases, and draws them with
`--plot hull.png`. Known energies of other phases, by the same potential, go in as `references`.

EMT is a model landscape: its stable compounds are hexagonal, Cu3Au with eight atoms and CuAu with
four, a little below the face-centered ones. They were found after 24 to 81 energies, of a few
milliseconds each, so nearly all the time is the search's own, four seconds a step on one core.
"""

from ase.calculators.emt import EMT

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.ChemicalSystem("Cu-Au", max_atoms=8),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.NoImprovement(60) | bo.stop.Evaluations(200),
    final_relaxation=bo.FinalRelaxation(n_structures=4),
)

if __name__ == "__main__":
    campaign.run("runs/cu_au_phase_diagram", seed=0)
