"""BoTorch models over coordinates: posteriors, conditioning, low rank."""
