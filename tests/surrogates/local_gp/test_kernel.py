"""Covariances with inducing environments, written out and differentiated."""

from dataclasses import replace

import pytest
import torch

from bostruct.descriptors import SOAP, DescriptorGradients
from bostruct.structures import Structures
from bostruct.surrogates.local_gp import kernel
from bostruct.surrogates.local_gp.dot_product_kernel import ExponentialKernel, PowerKernel
from bostruct.surrogates.local_gp.inducing_points import select_inducing_points
from bostruct.surrogates.local_gp.kernel import energy_kernel
from tests.surrogates.dense import labelled

KERNELS = [PowerKernel(3), ExponentialKernel((0.2, 0.8), (0.05, 0.5))]


class Setting:
    """Two species, structures of two sizes, and inducing environments."""

    def __init__(self, structures, g):
        self.g = g
        self.structures = structures
        self.soap = SOAP((29, 79), 5.0, n_max=3, l_max=2)
        self.P = self.soap(structures)
        self.species_index = self.soap.species_index(structures.numbers)
        self.inducing = select_inducing_points(
            self.P[:24],
            self.species_index[:24],
            g,
            max_inducing=15,
            tolerance=1e-9,
            n_preferred=24,
            max_pool=100,
        )

    def energies(self, structures):
        P = self.soap(structures)
        return self.inducing.energy_covariances(
            P, self.species_index, structures.index, len(structures)
        )

    def kernel(self, P, place):
        """Return k between environments and the inducing set, `[n, m]`."""
        same = place.unsqueeze(-1) == self.inducing.species_index
        return self.g.value(P @ self.inducing.features.T) * same


@pytest.fixture(scope="module", params=KERNELS, ids=["power", "exponentials"])
def setting(mixed, space, request):
    small = labelled(space.sample(2, torch.Generator().manual_seed(3)), space)
    return Setting(Structures.cat([mixed[:6], small]), request.param)


def test_energies_are_sums_over_atoms(setting):
    K = setting.kernel(setting.P, setting.species_index)
    expected = K.new_zeros(8, K.shape[1]).index_add(0, setting.structures.index, K)
    found = setting.energies(setting.structures)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_environments_are_single_terms(setting):
    found = setting.inducing.environment_covariances(setting.P, setting.species_index)
    expected = setting.kernel(setting.P, setting.species_index)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert (found == 0).any()  # unlike species know nothing of each other


def test_inducing_set_is_sorted_and_its_factor_is_right(setting):
    inducing = setting.inducing
    assert torch.equal(inducing.species_index, inducing.species_index.sort().values)
    assert len(inducing) == 15
    expected = setting.kernel(inducing.features, inducing.species_index)
    torch.testing.assert_close(
        inducing.kernel_cholesky @ inducing.kernel_cholesky.T, expected, rtol=0, atol=1e-12
    )
    assert torch.equal(inducing.kernel_cholesky, inducing.kernel_cholesky.tril())


def test_whitened_features_are_nystroem(setting):
    """Their products are K_xs K_s^-1 K_sx."""
    K = setting.energies(setting.structures)
    phi = setting.inducing.whiten(K)
    Ks = setting.kernel(setting.inducing.features, setting.inducing.species_index)
    expected = K @ torch.linalg.solve(Ks, K.T)
    torch.testing.assert_close(phi @ phi.T, expected, rtol=1e-9, atol=1e-9)
    folded = setting.inducing.whiten(K.view(2, 4, -1))
    torch.testing.assert_close(folded.view(8, -1), phi, rtol=1e-12, atol=1e-12)


def test_forces_are_minus_the_slope_of_energies(setting):
    structures = setting.structures
    slopes = setting.soap.gradients(structures)
    found = setting.inducing.force_covariances(slopes, setting.species_index)
    positions = structures.positions.clone().requires_grad_()
    K = setting.energies(replace(structures, positions=positions))
    for column in range(len(setting.inducing)):
        total = K[:, column].sum()
        (slope,) = torch.autograd.grad(total, positions, retain_graph=True)
        torch.testing.assert_close(found[..., column], -slope, rtol=0, atol=1e-10)
    assert found.abs().max() > 0.01


def test_forces_match_central_differences(setting):
    structures, h = setting.structures, 1e-5
    slopes = setting.soap.gradients(structures)
    found = setting.inducing.force_covariances(slopes, setting.species_index)
    for atom, axis in ((0, 1), (17, 2), (40, 0)):
        ends = []
        for sign in (1, -1):
            positions = structures.positions.clone()
            positions[atom, axis] += sign * h
            ends.append(setting.energies(replace(structures, positions=positions)))
        secant = (ends[0] - ends[1])[structures.index[atom]] / (2 * h)
        torch.testing.assert_close(found[atom, axis], -secant, rtol=0, atol=1e-8)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_change_nothing(setting, monkeypatch, size):
    slopes = setting.soap.gradients(setting.structures)
    whole = setting.inducing.force_covariances(slopes, setting.species_index)
    monkeypatch.setattr(kernel, "PAIRS_PER_CPU_CHUNK", size)
    parts = setting.inducing.force_covariances(slopes, setting.species_index)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    monkeypatch.setattr(kernel, "PAIRS_PER_CPU_CHUNK", slopes.center.shape[0])
    parts = setting.inducing.force_covariances(slopes, setting.species_index)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


def test_one_species_and_several_give_the_same(setting):
    """Where all atoms are of one species their pairs are not picked out."""
    some = torch.arange(18)  # of the first three structures
    alone = setting.structures[:3]
    assert bool((setting.species_index[some] != setting.species_index[0]).any())
    slopes = setting.soap.gradients(alone)
    place = setting.species_index[some]
    several = setting.inducing.force_covariances(slopes, place)
    for kind in (0, 1):
        block = setting.inducing.species_index == kind
        part = type(setting.inducing)(
            setting.inducing.features[block],
            setting.inducing.species_index[block],
            setting.inducing.kernel_cholesky[block][:, block],
            setting.g,
        )
        found = part.force_covariances(slopes, place)
        torch.testing.assert_close(several[..., block], found, rtol=0, atol=1e-13)
        pairs = (place == kind)[slopes.center]
        mine = DescriptorGradients(
            slopes.features,
            slopes.center[pairs],
            slopes.neighbor[pairs],
            slopes.gradients[pairs],
            slopes.vectors[pairs],
        )
        same = part.force_covariances(mine, torch.full_like(place, kind))
        torch.testing.assert_close(same, found, rtol=0, atol=1e-13)


def test_between_energies_is_the_double_sum(setting):
    P, place = setting.P[:36].view(2, 3, 6, -1), setting.species_index[:36].view(2, 3, 6)
    found = energy_kernel(P, place, setting.g)
    assert found.shape == (2, 3, 3)
    for k in range(2):
        for i in range(3):
            for j in range(3):
                same = place[k, i].unsqueeze(-1) == place[k, j]
                expected = (setting.g.value(P[k, i] @ P[k, j].T) * same).sum()
                torch.testing.assert_close(found[k, i, j], expected)
    torch.testing.assert_close(found, found.mT)


def test_missing_atoms_add_nothing(setting):
    P, place = setting.P[:12].view(2, 6, -1), setting.species_index[:12].view(2, 6)
    padded = torch.cat((P, torch.zeros_like(P[:, :2])), 1)
    kinds = torch.cat((place, torch.full_like(place[:, :2], -1)), 1)
    found, expected = (
        energy_kernel(padded, kinds, setting.g),
        energy_kernel(P, place, setting.g),
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_follows_its_input(setting, device):
    moved = setting.structures.to(device, torch.float32)
    inducing = type(setting.inducing)(
        setting.inducing.features.to(moved.positions),
        setting.inducing.species_index.to(device),
        setting.inducing.kernel_cholesky.to(moved.positions),
        setting.g,
    )
    slopes = setting.soap.gradients(moved)
    place = setting.species_index.to(device)
    K = inducing.energy_covariances(slopes.features, place, moved.index, len(moved))
    for found in (K, inducing.whiten(K), inducing.force_covariances(slopes, place)):
        assert found.dtype == torch.float32
        assert found.device.type == device.type
    expected = setting.energies(setting.structures)
    torch.testing.assert_close(K.cpu().double(), expected, rtol=1e-4, atol=1e-4)
