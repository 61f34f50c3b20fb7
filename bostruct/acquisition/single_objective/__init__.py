"""Acquisition functions of one energy to be minimized."""
