import torch

from bostruct.surrogates.properties.state_header import decode_header, encode_header


def test_words_come_back():
    words = {"names": ["bulk_modulus_GPa", "Å"], "n": [1, 2.5, None]}
    assert encode_header(words).dtype is torch.uint8
    assert decode_header(encode_header(words)) == words
