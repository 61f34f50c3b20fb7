"""Calibration of predicted variances.

Errors on held-out data with their predicted variances enter; scores, diagrams, recalibrated
variances and conformal intervals leave.
"""
