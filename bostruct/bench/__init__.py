"""Benchmarks of evaluations to the lowest energy, Pareto fronts, uncertainties and run time.

Tasks with known lowest energies and settings of the campaign give every energy of every run, with
success curves, percentiles, times and baselines. Evaluations are counted instead of their time,
since those of the tasks are cheap.
"""

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from bostruct.bench.energy_benchmark import run_energy_benchmark as run_energy_benchmark
from bostruct.bench.single_objective.baselines import basin_hopping as basin_hopping
from bostruct.bench.single_objective.baselines import random_search as random_search
from bostruct.bench.single_objective.baselines import symmetric_search as symmetric_search
from bostruct.bench.single_objective.campaign_method import CampaignMethod as CampaignMethod
from bostruct.bench.single_objective.named_tasks import TASKS as TASKS
from bostruct.bench.single_objective.results import Results as Results
from bostruct.bench.single_objective.settings import CAMPAIGN_SETTINGS as CAMPAIGN_SETTINGS
from bostruct.bench.single_objective.settings import Setting as Setting
from bostruct.bench.single_objective.task import Task as Task
