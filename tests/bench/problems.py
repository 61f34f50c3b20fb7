"""A task whose campaigns take milliseconds a step: see the campaign's stand-ins."""

from bostruct.bench import Setting, Task
from bostruct.evaluators import Function
from tests.campaign.standin import GP, Box, Draw, energy

PARTS = {"surrogate": GP(), "search": Draw(), "n_initial": 4}
TINY = Setting("tiny", PARTS)
DEFAULT = Setting("default", PARTS)


def task(name="chain", reference=-0.95, function=energy, **more):
    """Return a task that one in twenty random structures solves."""
    return Task(
        name=name,
        make_space=Box,
        evaluator=Function(function),
        reference_energy=reference,
        tolerance=0.05,
        **more,
    )
