"""Engines: where evaluations are computed, all of them a `concurrent.futures.Executor`.

Calls enter, futures of their results leave. Processes on this machine are `executors.Workers`.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.campaign.engines.dask_workers import DaskWorkers as DaskWorkers
    from bostruct.campaign.engines.engine import make_engine as make_engine
else:
    __getattr__, __dir__ = lazy_exports(__name__)
