"""Gaussian process of the energy over a few named coordinates, on energies and gradients."""

from bostruct.surrogates.coordinate_gp.coordinate_gp import CoordinateGP as CoordinateGP
