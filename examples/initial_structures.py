"""Initial structures of your own, and a final relaxation of the best structure.

`initial_structures` takes what ASE reads: here an extxyz file with three clusters, two of them with
energies and forces. Those two are initial data, which are not evaluated again; the third is
evaluated first. `final_relaxation` keeps up to a quarter of the evaluations for relaxing the best
structure with the evaluator itself; every call counts and is in the log.
"""

from pathlib import Path

import ase.io
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

import bostruct as bo

FILE = Path("runs/known.extxyz")


def known_structures() -> list[Atoms]:
    """Return a ring, a row of squares and a prism of six copper atoms."""
    d = 2.5  # Å
    corners = [(0, 0), (d, 0), (1.5 * d, 2.2), (d, 4.4), (0, 4.4), (-0.5 * d, 2.2)]
    ring = Atoms("Cu6", [(x, y, 0) for x, y in corners])
    squares = Atoms("Cu6", [(i * d, j * d, 0) for i in range(3) for j in range(2)])
    triangle = [(0, 0), (d, 0), (d / 2, 2.17)]
    prism = Atoms("Cu6", [(x, y, z) for z in (0, d) for x, y in triangle])
    for atoms in (ring, squares):
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return [ring, squares, prism]


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    ase.io.write(FILE, known_structures())

    campaign = bo.Campaign(
        space=bo.spaces.Cluster("Cu6"),
        evaluator=bo.evaluators.Calculator(EMT),
        initial_structures=FILE,
        final_relaxation=bo.FinalRelaxation(n_structures=1, fmax=0.01),
        stop=bo.stop.Evaluations(10),
    )
    log = campaign.run("runs/initial_structures", seed=0)

    for trial in log.trials("done"):
        kind = "initial data" if trial.is_initial_data else "evaluated"
        print(f"{trial.number:3d}  {trial.energy:8.4f} eV  {trial.generator:<9} {kind}")
    for report in log.relaxations():
        print(f"trial {report.trial}: {report.energy:.4f} -> {report.relaxed_energy:.4f} eV")
        print(f"after {report.n_evaluations} evaluations, {report.state}")
