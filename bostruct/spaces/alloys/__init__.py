"""Discrete spaces of compositions and decorated lattices."""
