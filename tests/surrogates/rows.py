"""The rows of a last layer, written out by automatic differentiation."""

from dataclasses import replace

import torch

from bostruct.surrogates.networks.dataset import prepare_training_set
from tests.surrogates.small import SMALL


def explicit(laplace, structures):
    """Return features `[b, m]` and minus their slopes `[n 3, m]`."""
    moving = structures.positions.clone().requires_grad_()
    x, place = laplace.featurizer(replace(structures, positions=moving))
    hidden = laplace.weights.hidden_layers(x, place).second[0]
    hot = torch.nn.functional.one_hot(place, laplace.weights.species_bias.shape[1]).to(x)
    each = torch.cat((hidden, x[:, : laplace.n_inputs], hot), -1)
    total = each.view(len(structures), -1, each.shape[1]).sum(1)
    slopes = [
        torch.autograd.grad(value, moving, retain_graph=True)[0]
        for value in (total + 0 * moving.sum()).sum(0)
    ]
    return total.detach(), -torch.stack(slopes).flatten(1).T


def rows(laplace, structures):
    """Return rows `[r, m]` and values `[r]` over the deviations of their misfits."""
    _, lesson = prepare_training_set(SMALL, structures, None)
    last, scale = laplace.readout, laplace.featurizer.energy_scale
    f, slopes = explicit(laplace, structures)
    e = last.energy_noise_std * lesson.noise_factor * lesson.counts.sqrt()
    d = last.force_noise_std * lesson.noise_factor[lesson.index].repeat_interleave(3)
    F = torch.cat((f / e.unsqueeze(-1), slopes / d.unsqueeze(-1)))
    forces = scale / laplace.featurizer.length_scale() * lesson.forces.flatten()
    return F, torch.cat((scale * lesson.energy / e, forces / d))
