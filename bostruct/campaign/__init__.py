"""Campaigns: closed optimization loops with a durable log.

Space, evaluator, surrogate, acquisition function and search enter, combined in a `Campaign`; a run
folder leaves, in which every trial, posterior and result is kept. `ask` and `tell` are durable,
`run` is a loop over them, and a killed campaign resumes where it was.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.campaign.analysis.calibration import CalibratedPrediction as CalibratedPrediction
    from bostruct.campaign.analysis.calibration import OnlineCalibration as OnlineCalibration
    from bostruct.campaign.analysis.hypervolume_history import (
        HypervolumeHistory as HypervolumeHistory,
    )
    from bostruct.campaign.analysis.pareto_front import EvaluatedPoint as EvaluatedPoint
    from bostruct.campaign.analysis.pareto_front import ParetoFront as ParetoFront
    from bostruct.campaign.analysis.predictions import LoggedPrediction as LoggedPrediction
    from bostruct.campaign.campaign import Campaign as Campaign
    from bostruct.campaign.log.reader import Log as Log
    from bostruct.campaign.records import RelaxationReport as RelaxationReport
    from bostruct.campaign.records import Step as Step
    from bostruct.campaign.records import Trial as Trial
    from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation as FinalRelaxation
    from bostruct.campaign.report.assessment import Assessment as Assessment
    from bostruct.campaign.report.assessment import EnergyDifference as EnergyDifference
    from bostruct.campaign.report.assessment import RankedStructure as RankedStructure
    from bostruct.campaign.report.assessment import UnevaluatedCandidate as UnevaluatedCandidate
    from bostruct.campaign.retry_policy import RetryPolicy as RetryPolicy
    from bostruct.campaign.stop import Evaluations as Evaluations
    from bostruct.runtime.executors import InProcess as InProcess
    from bostruct.runtime.executors import Workers as Workers
else:
    __getattr__, __dir__ = lazy_exports(__name__)
