"""Continuous spaces of atoms on or in a slab."""
