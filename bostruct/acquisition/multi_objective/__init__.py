"""Acquisition functions of several objectives and constraints."""
