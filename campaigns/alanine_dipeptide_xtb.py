"""Alanine dipeptide with GFN2-xTB energies: the lowest conformer over its angles φ and ψ.

Needs tblite: `pip install 'bostruct[bench]'`. The molecule is rigid but for the two dihedral
angles; its geometry, in the file beside this one, is that of the extended conformer relaxed with
GFN2-xTB. A SMILES does as well: `bo.spaces.Molecule.from_smiles("CC(=O)NC(C)C(=O)NC")`.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bostruct as bo
from bostruct.errors import InputError

if find_spec("tblite") is None:
    raise InputError(
        "this campaign needs tblite, which is not installed: "
        "pip install 'bostruct[bench]', or take another calculator of ASE."
    )


def gfn2() -> Any:  # noqa: ANN401 - of ASE
    """Return GFN2-xTB."""
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", verbosity=0)


campaign = bo.Campaign(
    space=bo.spaces.Conformers(
        Path(__file__).with_name("alanine_dipeptide.xyz"),
        {"phi": (1, 3, 4, 6), "psi": (3, 4, 6, 8)},
    ),
    evaluator=bo.evaluators.Calculator(gfn2),
    stop=bo.stop.Evaluations(30),
)

if __name__ == "__main__":
    campaign.run("runs/alanine_dipeptide", seed=0)
