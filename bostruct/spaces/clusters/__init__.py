"""Continuous spaces of free clusters."""
