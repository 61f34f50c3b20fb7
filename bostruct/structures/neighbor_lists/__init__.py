"""Neighbor lists of batches of structures."""
