"""A descriptor and a pair repulsion against the tensors that rebuild them."""

import pytest

from bostruct.descriptors import SOAP
from bostruct.surrogates import PairRepulsion
from bostruct.surrogates.soap_state import soap_from_state, soap_to_state


@pytest.mark.parametrize("pair_repulsion", [None, PairRepulsion(7.0, 0.8)])
@pytest.mark.parametrize("sizes", [(), (3,)])
def test_they_come_back_from_their_tensors(pair_repulsion, sizes):
    soap = SOAP((29, 79), 4.5, 3, 2, 45.0, 0.5)
    state = soap_to_state(soap, pair_repulsion, *sizes)
    assert soap_from_state(state) == (soap, pair_repulsion, list(sizes))
