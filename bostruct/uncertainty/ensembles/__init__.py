"""Ensembles: committees, mixtures of experts, propagation."""
