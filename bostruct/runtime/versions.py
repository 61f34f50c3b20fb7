"""Versions of Python and of the packages on which results depend."""

from __future__ import annotations

import importlib.metadata
import platform

RECORDED_PACKAGES = ("bostruct", "torch", "gpytorch", "botorch", "linear_operator", "ase")


def package_versions() -> dict[str, str]:
    """Return the installed versions by package name, Python among them."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
