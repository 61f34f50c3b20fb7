"""The most stable crystal of eight silicon atoms, with the Stillinger-Weber potential.

Atoms and cell are both unknown: only the number of atoms and a guess of the volume are given. The
lowest known energy is that of diamond, -34.6928 eV, cubic or hexagonal, which this potential does
not tell apart; the campaign ends within 5 meV an atom of it, or after 60 energies. The final
relaxation brings atoms and cell to rest. An energy costs some milliseconds, so nearly all the time
is the search's own.

Under a pressure, `pressure=15 * ase.units.GPa` in the space, the enthalpy is minimized, and the
first stop rule has to go.
"""

import bostruct as bo
from bostruct.bench.single_objective.crystal_potentials import StillingerWeber

campaign = bo.Campaign(
    space=bo.spaces.Crystal("Si8", volume=20.0),
    evaluator=bo.evaluators.Calculator(StillingerWeber),
    stop=bo.stop.EnergyReached(-34.65) | bo.stop.Evaluations(60),
    final_relaxation=bo.FinalRelaxation(),
)

if __name__ == "__main__":
    campaign.run("runs/si_crystal", seed=0)
