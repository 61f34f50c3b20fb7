"""Bayesian linear models on features: exact, sparse, Laplace, last layer."""
