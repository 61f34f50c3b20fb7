"""Command line.

Its commands take all that is large from here, where it is imported at the first use.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.bench.energy_benchmark import run_energy_benchmark
    from bostruct.bench.front_benchmark import FrontSummary, run_front_benchmark, tasks_by_name
    from bostruct.bench.multi_objective.methods import CampaignFrontMethod
    from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS
    from bostruct.bench.single_objective.baselines import (
        basin_hopping,
        random_search,
        symmetric_search,
    )
    from bostruct.bench.single_objective.beacon import Beacon
    from bostruct.bench.single_objective.boss import Boss
    from bostruct.bench.single_objective.campaign_method import CampaignMethod
    from bostruct.bench.single_objective.coordinate_hopping import CoordinateHopping
    from bostruct.bench.single_objective.load import NAMED_TASKS, load_tasks_and_settings
    from bostruct.bench.single_objective.method import Method
    from bostruct.bench.single_objective.results import Results
    from bostruct.bench.single_objective.table import summary_table
    from bostruct.bench.tables import data_frame, result_console, terminal_table
    from bostruct.bench.uncertainty import comparison, datasets
    from bostruct.bench.uncertainty.held_out import held_out_table, score_held_out, write_held_out
    from bostruct.bench.uncertainty.held_out_data import held_out_sets
    from bostruct.bench.uncertainty.methods import METHODS, load_methods
    from bostruct.bench.uncertainty.split import CALIBRATE, TEST, ShiftKind
    from bostruct.campaign import campaign_file, stop
    from bostruct.campaign.analysis.minima import Minima
    from bostruct.campaign.engines.engine import make_engine
    from bostruct.campaign.log.from_description import open_log
    from bostruct.campaign.log.malformed_log import refuse_malformed
    from bostruct.campaign.log.reader import Log
    from bostruct.campaign.log.retraction import retract_trial
    from bostruct.campaign.log.retry import retry_trials
    from bostruct.campaign.log.trust import trust_trial
    from bostruct.campaign.log.verify import verify_log
    from bostruct.campaign.report.campaign_list import list_campaigns, list_lines
    from bostruct.campaign.report.chemiscope import write_chemiscope
    from bostruct.campaign.report.export import (
        images_to_export,
        trial_energies_above_hull,
        trial_formulas,
        write_structures,
    )
    from bostruct.campaign.report.export_front import write_front_files
    from bostruct.campaign.report.export_minima import minima_images
    from bostruct.campaign.report.html.report_page import write_report
    from bostruct.campaign.report.hull_plot import plot_hull
    from bostruct.campaign.report.landscape import Landscape
    from bostruct.campaign.report.landscape_plot import plot_landscape
    from bostruct.campaign.report.minima_text import minima_lines
    from bostruct.campaign.report.pareto_text import front_lines
    from bostruct.campaign.report.summary import summarize
    from bostruct.campaign.report.text import final_text, summary_text
    from bostruct.runtime.device import resolve_device
    from bostruct.structures import Structures, from_ase
    from bostruct.structures.structure_file import read_structure_file
    from bostruct.surrogates import LocalGP
else:
    __getattr__, __dir__ = lazy_exports(__name__)
