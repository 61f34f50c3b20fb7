"""Neural-network surrogates with uncertainties."""
