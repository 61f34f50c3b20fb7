"""Gaussian processes of properties of whole structures."""
