"""Import of BoTorch without side effects on the process.

Importing botorch sets linear_operator's and gpytorch's solver settings globally; scipy and
threadpoolctl, which come with it, add warning filters and an environment variable. All are
restored here, so that importing bostruct changes nothing; the settings that bostruct needs are set
where it uses them. A process that imported botorch first keeps BoTorch's settings. Packages that
use botorch, gpytorch or scipy import this module before anything else.
"""

from __future__ import annotations

import os
import warnings

import gpytorch.settings
import linear_operator.settings

SETTING_ATTRIBUTES = ("_default", "_global_value", "_state")
"""Attributes in which the settings of linear_operator and gpytorch keep their values."""


def read_settings() -> dict[tuple[type, str], object]:
    """Return the values of all settings of linear_operator and gpytorch."""
    modules = (linear_operator.settings, gpytorch.settings)
    settings = {s for module in modules for s in vars(module).values() if isinstance(s, type)}
    return {
        (setting, name): value
        for setting in settings
        for name, value in vars(setting).items()
        if name in SETTING_ATTRIBUTES
    }


def restore_settings(settings: dict[tuple[type, str], object]) -> None:
    """Set the values that `read_settings` returned."""
    for (setting, name), value in settings.items():
        setattr(setting, name, value)


_saved_settings = read_settings()
_saved_environment = set(os.environ)
with warnings.catch_warnings():
    import botorch.acquisition.monte_carlo
    import botorch.models
    import botorch.optim.core  # noqa: F401 - and scipy and threadpoolctl with them
restore_settings(_saved_settings)
for _name in set(os.environ) - _saved_environment:
    del os.environ[_name]
