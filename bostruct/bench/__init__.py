"""How many energies until the answer.

Tasks with known lowest energies enter, and settings of the campaign; every energy of
every run leaves, with success curves, percentiles, own time and a comparison with what
everyone has. Energies are counted, not seconds: those of the tasks cost nothing.
"""

from bostruct.bench.baselines import basin_hopping as basin_hopping
from bostruct.bench.baselines import random_search as random_search
from bostruct.bench.campaigns import Campaigns as Campaigns
from bostruct.bench.compare import compare as compare
from bostruct.bench.results import Results as Results
from bostruct.bench.setting import SETTINGS as SETTINGS
from bostruct.bench.setting import Setting as Setting
from bostruct.bench.task import Task as Task
from bostruct.bench.tasks import TASKS as TASKS
