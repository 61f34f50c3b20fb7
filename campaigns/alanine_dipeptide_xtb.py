"""Alanine dipeptide with GFN2-xTB energies: the lowest conformer over its angles φ and ψ.

Needs tblite: `pip install 'bostruct[bench]'`. The molecule is rigid but for the two dihedral
angles; its geometry, in the file beside this one, is that of the extended conformer relaxed with
GFN2-xTB. A SMILES does as well: `bo.spaces.Molecule.from_smiles("CC(=O)NC(C)C(=O)NC")`.
"""

from pathlib import Path

from tblite.ase import TBLite

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Conformers(
        Path(__file__).with_name("alanine_dipeptide.xyz"),
        {"phi": (1, 3, 4, 6), "psi": (3, 4, 6, 8)},
    ),
    evaluator=bo.evaluators.Calculator(TBLite, method="GFN2-xTB", verbosity=0),
    stop=bo.stop.Evaluations(30),
)
