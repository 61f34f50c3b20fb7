"""What a network is given, against its definition."""

from dataclasses import replace

import pytest
import torch

from bostruct.descriptors import SOAP
from bostruct.structures import from_ase
from bostruct.surrogates.networks import featurizer as module
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.surrogates.networks.featurizer import Featurizer, fit_standardization
from bostruct.surrogates.training_data import prepare_observations
from tests.surrogates.small import SMALL


def observed(structures, species=(29, 79)):
    soap = SOAP(species, 5.0, 3, 2)
    radii = torch.full((len(structures.numbers),), 1.3, dtype=torch.float64)
    return soap, prepare_observations(structures, None, radii)


def test_inputs_have_the_root_of_the_deviations(mixed, monkeypatch):
    monkeypatch.setattr(module, "DISPLACEMENT_FRACTION", 0.0)
    soap, data = observed(mixed)
    mean, basis = fit_standardization(soap, data, 20)
    place = soap.species_index(mixed.numbers)
    P = soap(mixed)
    for k in range(2):
        torch.testing.assert_close(mean[k], P[place == k].mean(0))
    X = P - mean[place]
    u = torch.linalg.svdvals(X) / len(X) ** 0.5
    x = X @ basis
    found = (x.T @ x / len(x)).sqrt()
    torch.testing.assert_close(found.diagonal(), (u / u[0]).sqrt()[:20])
    assert basis.shape == (soap.n_features, 20)


def test_shaken_atoms_count(data):
    """Directions in which environments would change are inputs as well."""
    soap, full = observed(data[:2], (29,))
    rest = replace(full, forces=torch.full_like(full.forces, torch.nan))
    assert fit_standardization(soap, full, 96)[1].shape[1] == soap.n_features
    assert fit_standardization(soap, rest, 96)[1].shape[1] <= 12


def test_one_lone_atom_is_no_division_by_zero():
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atom = Atoms("Cu")
    atom.calc = SinglePointCalculator(atom, energy=1.0, forces=[[0.0, 0.0, 0.0]])
    encoder, lesson = prepare_training_set(SMALL, from_ase(atom), None)
    assert lesson.inputs.isfinite().all()
    assert encoder.basis.isfinite().all()


def test_the_prior_is_constants_and_walls(mixed):
    encoder, _ = prepare_training_set(SMALL, mixed, None)
    place = encoder.soap.species_index(mixed.numbers)
    wall = encoder.pair_repulsion(mixed, encoder.radii[place])
    atoms = encoder.species_energies[place].view(len(mixed), -1).sum(1)
    torch.testing.assert_close(encoder.prior_mean(mixed, place), atoms + wall)
    bare = replace(encoder, pair_repulsion=None)
    torch.testing.assert_close(bare.prior_mean(mixed, place), atoms)


def test_it_comes_back_from_its_tensors(mixed):
    encoder, _ = prepare_training_set(SMALL, mixed, None)
    again = Featurizer.restore(encoder.tensors())
    assert again.soap == encoder.soap
    assert again.pair_repulsion == encoder.pair_repulsion
    assert torch.equal(again(mixed)[0], encoder(mixed)[0])
    free = replace(encoder, pair_repulsion=None)
    assert Featurizer.restore(free.tensors()).pair_repulsion is None
    assert encoder.hyperparameters()["n_inputs"] == 12.0
    assert encoder.hyperparameters().keys() >= {"energy_per_atom_of_Z79_eV"}
    with pytest.raises(KeyError):
        Featurizer.restore({})
