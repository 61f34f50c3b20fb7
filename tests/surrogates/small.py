"""A network that trains in a blink."""

from bostruct.surrogates import Network

SMALL = Network(radial=3, angular=2, components=12, width=8, steps=40, batch=4)
