"""Smooth overlap of atomic positions (SOAP), with gradients.

Structures enter; the power spectrum of each atom's environment and its derivatives with respect to
the positions leave.
"""
