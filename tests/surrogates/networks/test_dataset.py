"""Training data of a network, against what the descriptor says."""

from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError
from bostruct.structures import Structures
from bostruct.surrogates import training_data as chunked
from bostruct.surrogates.networks import dataset as module
from bostruct.surrogates.networks.dataset import prepare_training_set
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def batch(data, mixed):
    """Return structures of two sizes and kinds, one of them without forces."""
    few = mixed[:3]
    blind = replace(few[0], forces=torch.full_like(few[0].positions, torch.nan))
    part = data[0]
    smaller = Structures(
        part.positions[:4],
        part.numbers[:4],
        part.cell,
        part.pbc,
        part.index[:4],
        part.fixed[:4],
        part.tags[:4],
        part.energy,
        part.forces[:4],
    )
    return Structures.cat([few, smaller, blind])


def test_forces_are_pulled_as_autograd_does(batch):
    encoder, lesson = prepare_training_set(SMALL, batch, None)
    generator = torch.Generator().manual_seed(0)
    slopes = torch.randn(2, *lesson.inputs.shape, generator=generator, dtype=torch.float64)
    moving = batch.positions.clone().requires_grad_()
    x, place = encoder(replace(batch, positions=moving))
    torch.testing.assert_close(x.detach(), lesson.inputs)
    assert torch.equal(place, lesson.species_index)
    forces = lesson.forces_from_gradients(slopes)
    for m in range(2):
        (slope,) = torch.autograd.grad((x * slopes[m]).sum(), moving, retain_graph=True)
        torch.testing.assert_close(forces[m], -slope * encoder.length_scale())


def test_some_structures_are_what_they_are_among_all(batch, monkeypatch):
    monkeypatch.setattr(chunked, "PAIRS_PER_CHUNK", 1)
    _, lesson = prepare_training_set(SMALL, batch, None)
    part = lesson.subset(torch.tensor([3, 1]))
    assert len(part) == 2
    assert part.counts.tolist() == [4, 6]
    assert part.source_rows.tolist() == [3, 1]
    assert torch.equal(part.energy, lesson.energy[[3, 1]])
    ones = torch.ones(1, *lesson.inputs.shape, dtype=torch.float64)
    whole, some = (
        lesson.forces_from_gradients(ones)[0],
        part.forces_from_gradients(ones[:, :10])[0],
    )
    torch.testing.assert_close(some[:4], whole[18:22])
    torch.testing.assert_close(some[4:], whole[6:12])
    assert sum(len(block) for block in lesson.iter_batches()) == len(lesson)


def test_units_are_those_of_the_scale(batch):
    encoder, lesson = prepare_training_set(replace(SMALL, pair_repulsion=None), batch, None)
    known = batch.forces[:22] * encoder.length_scale() / encoder.energy_scale
    torch.testing.assert_close(lesson.forces[:22], known)
    assert (lesson.forces[22:] == 0).all()
    assert lesson.force_mask.sum() == 22 * 3
    rest = batch.energy - encoder.prior_mean(batch, lesson.species_index)
    torch.testing.assert_close(lesson.energy, rest / encoder.energy_scale)


def test_without_forces_there_are_no_slopes(data):
    bare = replace(data[:3], forces=None)
    _, lesson = prepare_training_set(SMALL, bare, None)
    assert lesson.neighbors.shape == (18, 0)
    assert lesson.input_gradients.numel() == 0


def test_memory_is_counted_before_it_is_taken(data, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda device: 10_000)
    with pytest.raises(InputError, match=r"`structures` must need at most the .* GiB"):
        prepare_training_set(SMALL, data, None)


def test_energies_must_be_known(data):
    with pytest.raises(InputError, match="`energy` must be known and finite"):
        prepare_training_set(SMALL, replace(data[:2], energy=None), None)
