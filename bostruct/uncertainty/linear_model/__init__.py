"""Bayesian linear models and Gaussian processes in closed form.

Feature rows or kernels of training data enter; means, variances, covariances, posterior samples
and prediction rigidities of new rows leave. Laplace approximations of networks are of this form.
"""
