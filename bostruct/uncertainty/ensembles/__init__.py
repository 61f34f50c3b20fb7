"""Ensembles and propagation of uncertainty.

Predictions of several models enter; their mean and variance, and those of any function of them,
leave. Likelihoods that train members with a variance of their own are here too.
"""
