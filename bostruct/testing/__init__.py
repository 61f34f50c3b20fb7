"""Contract tests: requirements that every implementation of a protocol must meet.

Subclass one in a test file, give it fixtures, and pytest runs all of its tests:

    class TestCluster(SpaceContract):
        @pytest.fixture
        def space(self):
            return Cluster("Cu15")

Flags such as `differentiable = False` opt out of a requirement.
"""

# ruff: noqa: E402 - pytest explains failures of the modules that it rewrites before their import

from bostruct.runtime import botorch_import as botorch_import

# isort: split

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}_contract" for part in ("space", "surrogate", "acquisition", "evaluator")),
    f"{__name__}.central_differences",
)

from bostruct.testing.acquisition_contract import AcquisitionContract as AcquisitionContract
from bostruct.testing.evaluator_contract import EvaluatorContract as EvaluatorContract
from bostruct.testing.random_generator import seeded_generator as seeded_generator
from bostruct.testing.space_contract import DiscreteContract as DiscreteContract
from bostruct.testing.space_contract import SpaceContract as SpaceContract
from bostruct.testing.surrogate_contract import SurrogateContract as SurrogateContract
