"""Sparse Gaussian process over local atomic environments."""
