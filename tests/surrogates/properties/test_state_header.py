import torch

from bostruct.surrogates.properties.state_header import header, read


def test_words_come_back():
    words = {"names": ["bulk_modulus_GPa", "Å"], "n": [1, 2.5, None]}
    assert header(words).dtype is torch.uint8
    assert read(header(words)) == words
