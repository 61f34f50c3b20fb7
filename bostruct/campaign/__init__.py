"""The loop and its log.

The parts of a search enter, put together as a `Campaign`; a run folder leaves, in which
every question, every posterior and every answer is kept. `ask` and `tell` are durable,
`run` is a loop over them, and a killed campaign goes on where it was.
"""

from bostruct.campaign.calibration import Calibrated as Calibrated
from bostruct.campaign.calibration import Expected as Expected
from bostruct.campaign.campaign import Campaign as Campaign
from bostruct.campaign.check import Check as Check
from bostruct.campaign.executors import InProcess as InProcess
from bostruct.campaign.executors import Workers as Workers
from bostruct.campaign.foretold import Foretold as Foretold
from bostruct.campaign.front import Front as Front
from bostruct.campaign.front import Point as Point
from bostruct.campaign.log import Log as Log
from bostruct.campaign.outlook import Difference as Difference
from bostruct.campaign.outlook import Outlook as Outlook
from bostruct.campaign.outlook import Ranked as Ranked
from bostruct.campaign.outlook import Remaining as Remaining
from bostruct.campaign.records import Checked as Checked
from bostruct.campaign.records import Step as Step
from bostruct.campaign.records import Trial as Trial
from bostruct.campaign.series import Series as Series
from bostruct.campaign.stop import Evaluations as Evaluations
