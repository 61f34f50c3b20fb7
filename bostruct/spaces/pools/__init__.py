"""Discrete space of listed structures."""
