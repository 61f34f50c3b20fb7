"""Import BoTorch without letting it change the process.

Importing botorch sets linear_operator's and gpytorch's solver settings for everybody;
scipy and threadpoolctl, which come with it, add warning filters and an environment
variable. All are put back here, so that importing bostruct changes nothing; what it
needs set, it sets for itself. Whoever imports botorch first keeps BoTorch's settings.
"""

from __future__ import annotations

import os
import warnings

import gpytorch.settings
import linear_operator.settings

SETTING_ATTRIBUTES = ("_default", "_global_value", "_state")
"""Where a setting keeps its value."""


def read_settings() -> dict[tuple[type, str], object]:
    """Return every value that a setting of linear_operator or gpytorch holds."""
    modules = (linear_operator.settings, gpytorch.settings)
    kinds = {k for m in modules for k in vars(m).values() if isinstance(k, type)}
    return {
        (kind, name): value
        for kind in kinds
        for name, value in vars(kind).items()
        if name in SETTING_ATTRIBUTES
    }


def restore_settings(settings: dict[tuple[type, str], object]) -> None:
    """Put the values back."""
    for (kind, name), value in settings.items():
        setattr(kind, name, value)


_saved_settings = read_settings()
_saved_environment = set(os.environ)
with warnings.catch_warnings():
    import botorch.acquisition.monte_carlo
    import botorch.models
    import botorch.optim.core  # noqa: F401 - and scipy and threadpoolctl with them
restore_settings(_saved_settings)
for _name in set(os.environ) - _saved_environment:
    del os.environ[_name]
