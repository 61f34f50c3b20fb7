"""Versions of the packages that the numbers depend on."""

from __future__ import annotations

import importlib.metadata
import platform

RECORDED_PACKAGES = (
    "bostruct",
    "torch",
    "gpytorch",
    "botorch",
    "linear_operator",
    "ase",
)


def package_versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
