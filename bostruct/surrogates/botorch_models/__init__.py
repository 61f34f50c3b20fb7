"""BoTorch models over coordinates: posteriors, conditioning, low rank."""

from bostruct.runtime import botorch_import as botorch_import
