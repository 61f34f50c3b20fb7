"""Sparse Gaussian process over local atomic environments."""

from bostruct.runtime import botorch_import as botorch_import
