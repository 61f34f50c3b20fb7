"""The loop and its log.

The parts of a search enter, put together as a `Campaign`; a run folder leaves, in which
every question, every posterior and every answer is kept. `ask` and `tell` are durable,
`run` is a loop over them, and a killed campaign goes on where it was.
"""

from bostruct.campaign.analysis.calibration import Calibrated as Calibrated
from bostruct.campaign.analysis.calibration import Expected as Expected
from bostruct.campaign.analysis.hypervolume_history import Series as Series
from bostruct.campaign.analysis.pareto_front import Front as Front
from bostruct.campaign.analysis.pareto_front import Point as Point
from bostruct.campaign.analysis.predictions import Foretold as Foretold
from bostruct.campaign.campaign import Campaign as Campaign
from bostruct.campaign.log.reader import Log as Log
from bostruct.campaign.records import Checked as Checked
from bostruct.campaign.records import Step as Step
from bostruct.campaign.records import Trial as Trial
from bostruct.campaign.relaxation.final_relaxation import Check as Check
from bostruct.campaign.report.assessment import Difference as Difference
from bostruct.campaign.report.assessment import Outlook as Outlook
from bostruct.campaign.report.assessment import Ranked as Ranked
from bostruct.campaign.report.assessment import Remaining as Remaining
from bostruct.campaign.stop import Evaluations as Evaluations
from bostruct.runtime.executors import InProcess as InProcess
from bostruct.runtime.executors import Workers as Workers
