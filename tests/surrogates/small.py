"""A network that trains in a blink."""

from bostruct.surrogates import NetworkConfig

SMALL = NetworkConfig(n_max=3, l_max=2, n_components=12, width=8, n_steps=40, batch_size=4)
