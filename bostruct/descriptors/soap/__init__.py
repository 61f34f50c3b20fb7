"""Smooth overlap of atomic positions, with gradients."""
