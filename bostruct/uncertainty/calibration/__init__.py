"""Calibration of predicted uncertainties, and its scores."""
