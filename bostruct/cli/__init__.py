"""Command line.

Its commands take all that is large from here, where it is imported at the first use.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.bench.energy_benchmark import run_energy_benchmark as run_energy_benchmark
    from bostruct.bench.front_benchmark import FrontSummary as FrontSummary
    from bostruct.bench.front_benchmark import run_front_benchmark as run_front_benchmark
    from bostruct.bench.front_benchmark import tasks_by_name as tasks_by_name
    from bostruct.bench.multi_objective.methods import CampaignFrontMethod as CampaignFrontMethod
    from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS as MULTI_OBJECTIVE_TASKS
    from bostruct.bench.single_objective.baselines import basin_hopping as basin_hopping
    from bostruct.bench.single_objective.baselines import random_search as random_search
    from bostruct.bench.single_objective.beacon import Beacon as Beacon
    from bostruct.bench.single_objective.campaign_method import CampaignMethod as CampaignMethod
    from bostruct.bench.single_objective.load import NAMED_TASKS as NAMED_TASKS
    from bostruct.bench.single_objective.load import (
        load_tasks_and_settings as load_tasks_and_settings,
    )
    from bostruct.bench.single_objective.method import Method as Method
    from bostruct.bench.single_objective.results import Results as Results
    from bostruct.bench.single_objective.table import summary_table as summary_table
    from bostruct.bench.tables import data_frame as data_frame
    from bostruct.bench.tables import result_console as result_console
    from bostruct.bench.tables import terminal_table as terminal_table
    from bostruct.bench.uncertainty import comparison as comparison
    from bostruct.bench.uncertainty import datasets as datasets
    from bostruct.bench.uncertainty.held_out import held_out_table as held_out_table
    from bostruct.bench.uncertainty.held_out import score_held_out as score_held_out
    from bostruct.bench.uncertainty.held_out import write_held_out as write_held_out
    from bostruct.bench.uncertainty.held_out_data import held_out_sets as held_out_sets
    from bostruct.bench.uncertainty.methods import METHODS as METHODS
    from bostruct.bench.uncertainty.methods import load_methods as load_methods
    from bostruct.bench.uncertainty.split import CALIBRATE as CALIBRATE
    from bostruct.bench.uncertainty.split import TEST as TEST
    from bostruct.bench.uncertainty.split import ShiftKind as ShiftKind
    from bostruct.campaign import campaign_file as campaign_file
    from bostruct.campaign import stop as stop
    from bostruct.campaign.log.from_description import open_log as open_log
    from bostruct.campaign.log.malformed_log import refuse_malformed as refuse_malformed
    from bostruct.campaign.log.reader import Log as Log
    from bostruct.campaign.log.retraction import retract_trial as retract_trial
    from bostruct.campaign.log.retry import retry_trials as retry_trials
    from bostruct.campaign.log.trust import trust_trial as trust_trial
    from bostruct.campaign.log.verify import verify_log as verify_log
    from bostruct.campaign.report.export import images_to_export as images_to_export
    from bostruct.campaign.report.export import (
        trial_energies_above_hull as trial_energies_above_hull,
    )
    from bostruct.campaign.report.export import trial_formulas as trial_formulas
    from bostruct.campaign.report.export import write_structures as write_structures
    from bostruct.campaign.report.export_front import write_front_files as write_front_files
    from bostruct.campaign.report.pareto_text import front_lines as front_lines
    from bostruct.campaign.report.summary import summarize as summarize
    from bostruct.campaign.report.text import final_text as final_text
    from bostruct.campaign.report.text import summary_text as summary_text
    from bostruct.runtime.device import resolve_device as resolve_device
    from bostruct.structures import Structures as Structures
    from bostruct.structures import from_ase as from_ase
    from bostruct.structures.structure_file import read_structure_file as read_structure_file
    from bostruct.surrogates import LocalGP as LocalGP
else:
    __getattr__, __dir__ = lazy_exports(__name__)
