"""Neural-network surrogates with uncertainties."""

from bostruct.runtime import botorch_import as botorch_import
