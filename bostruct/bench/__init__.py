"""How many energies until the answer.

Tasks with known lowest energies enter, and settings of the campaign; every energy of
every run leaves, with success curves, percentiles, own time and a comparison with what
everyone has. Energies are counted, not seconds: those of the tasks cost nothing.
"""

from bostruct.bench.energy_benchmark import run_energy_benchmark as run_energy_benchmark
from bostruct.bench.single_objective.baselines import basin_hopping as basin_hopping
from bostruct.bench.single_objective.baselines import random_search as random_search
from bostruct.bench.single_objective.campaign_method import (
    CampaignMethod as CampaignMethod,
)
from bostruct.bench.single_objective.named_tasks import TASKS as TASKS
from bostruct.bench.single_objective.results import Results as Results
from bostruct.bench.single_objective.settings import (
    CAMPAIGN_SETTINGS as CAMPAIGN_SETTINGS,
)
from bostruct.bench.single_objective.settings import Setting as Setting
from bostruct.bench.single_objective.task import Task as Task
