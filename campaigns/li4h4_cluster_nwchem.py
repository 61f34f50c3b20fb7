"""Li4H4 with Hartree-Fock energies of NWChem, four calculations side by side.

Needs the program: `apt-get install nwchem` on Debian. Each calculation runs in a folder of its own
below the run folder, and ends with the campaign.
"""

from ase.calculators.nwchem import NWChem

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Cluster("Li4H4"),
    evaluator=bo.evaluators.Calculator(
        NWChem,
        command="nwchem PREFIX.nwi > PREFIX.nwo 2> PREFIX.err",
        theory="scf",
        basis="sto-3g",
        task="gradient",
    ),
    batch_size=4,
    executor=bo.executors.Workers(4, time_limit=600.0),
    stop=bo.stop.Evaluations(40),
)
