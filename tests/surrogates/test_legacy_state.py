"""Models of the first log formats, as they were stored, against what they predicted then."""

from pathlib import Path

import pytest
import torch
from ase import Atoms
from safetensors.torch import load_file

from bostruct.spaces import Composition
from bostruct.structures import from_ase
from bostruct.surrogates import GP, IndependentProperties, IntensiveProperty, LastLayer, LocalGP
from bostruct.surrogates.legacy_state import TENSORS, TYPES, upgrade_state
from bostruct.surrogates.properties.state_header import decode_header, encode_header
from tests.surrogates.small import SMALL

EXACT = {"rtol": 1e-10, "atol": 1e-12}  # other libraries of linear algebra round differently


def stored(name):
    """Return a state and the "test." tensors stored beside it."""
    tensors = load_file(Path(__file__).parent / "legacy_state" / f"{name}.safetensors")
    state = {key: value for key, value in tensors.items() if not key.startswith("test.")}
    return state, {key[5:]: value for key, value in tensors.items() if key.startswith("test.")}


def test_a_local_gp_predicts_as_it_did():
    state, test = stored("old_local_gp")
    model = LocalGP().restore(upgrade_state("LocalGP", state))
    assert model.approximation == "averaged_fitc"
    numbers, positions = test["numbers"].view(2, 3), test["positions"].view(2, 3, 3)
    images = [Atoms(z, r) for z, r in zip(numbers.numpy(), positions.numpy(), strict=True)]
    found = model.predict(from_ase(images))
    for name in ("mean", "variance", "forces"):
        torch.testing.assert_close(getattr(found, name), test[name], **EXACT)


def test_properties_predict_as_they_did():
    """Their "Properties" and "GP" have new names, and so have the features."""
    state, test = stored("old_properties")
    space = Composition(["Cu", "Au"], step=1 / 4)
    state = upgrade_state("Properties", state)
    assert decode_header(state["0.header"])["type"] == "GP"
    found = IndependentProperties().restore(state, space).posterior(space.members(0, 5))
    torch.testing.assert_close(found.mean, test["mean"], **EXACT)
    C = found.distribution.covariance_matrix
    torch.testing.assert_close(C, test["covariance"], **EXACT)


@pytest.mark.parametrize("surrogate", [LocalGP(max_inducing=5), LastLayer(SMALL, n_members=2)])
def test_present_names_stay_and_old_ones_come_back(surrogate, data, space):
    model = surrogate.fit(data[:3], space)
    state, name = model.state(), type(surrogate).__name__
    assert upgrade_state(name, state) == state
    old_names = {new: old for old, new in TENSORS[name].items()}
    old = {old_names.get(key, key): value for key, value in state.items()}
    assert upgrade_state(name, old) == state


def test_parts_of_an_intensive_property_are_renamed():
    header = encode_header({"learner": "PerAtom", "surrogate": "Mixture"})
    state = {"own.gates_levels": torch.zeros(2), "own.alpha": torch.ones(()), "header": header}
    found = upgrade_state("PerAtom", state)
    assert list(found) == ["surrogate.gating_log_weights", "surrogate.alpha", "header"]
    told = {"type": IntensiveProperty.__name__, "surrogate": "MixtureOfExperts"}
    assert decode_header(found["header"]) == told


def test_tensors_that_properties_share_keep_their_keys():
    """Two properties with one set of environments, the second of which points to the first."""
    blocks = [{"name": "averaged", "size": 3, "linear": False, "ard": False}]
    header = encode_header({"learner": GP.__name__, "blocks": blocks})
    keys = [f"{i}.{name}" for i in (0, 1) for name in ("header", "map0.environments", "evidence")]
    same = {"1.map0.environments": "0.map0.environments"}
    told = encode_header({"names": ["a", "b"], "keys": keys, "same": same})
    state = dict.fromkeys((key for key in keys if key not in same), torch.zeros(3))
    state |= {"0.header": header, "1.header": header, "header": told}
    found = upgrade_state("Properties", state)
    new = decode_header(found["header"])
    environments = "map0.inducing_environments"
    assert new["same"] == {f"1.{environments}": f"0.{environments}"}
    assert set(found) == {"header", *new["keys"]} - {f"1.{environments}"}
    assert decode_header(found["1.header"])["blocks"][0]["name"] == "MeanSOAP"


def test_classes_of_the_user_stay_as_they_are():
    state = {"place": torch.zeros(1)}
    assert upgrade_state("Own", state) == state
    assert "Own" not in TYPES
