"""The most stable cluster of six water molecules, with GFN2-xTB energies of tblite.

Needs `pip install 'bostruct[bench]'`, which brings tblite. The molecules stay whole: they are
placed, turned and relaxed as rigid bodies before their atoms move. The lowest known energy is
-829.8522 eV; where the answer is not known, replace the first stop rule, say by
`bo.stop.NoImprovement(30)`.
"""

from importlib.util import find_spec
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
    space=bo.spaces.Cluster.of({"H2O": 6}),
    evaluator=bo.evaluators.Calculator(gfn2),
    stop=bo.stop.EnergyReached(-829.832) | bo.stop.Evaluations(100),
)

if __name__ == "__main__":
    campaign.run("runs/water_hexamer", seed=0)
