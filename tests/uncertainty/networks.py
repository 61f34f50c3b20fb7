"""Small networks of atoms for the tests of hooks."""

import torch


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def seeded(module, seed=0):
    """The module in float64 and evaluation mode, with weights that a seed decides."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.copy_(values / parameter.shape[-1] ** 0.5)
    return module.eval()


def perceptron(inputs=4, width=6, outputs=1, bias=True):
    layers = torch.nn.Linear(inputs, width), torch.nn.Tanh()
    return seeded(torch.nn.Sequential(*layers, torch.nn.Linear(width, outputs, bias)))


class Atomistic(torch.nn.Module):
    """Energies `[b]` of structures, as sums of a network of each atom's distances."""

    def __init__(self, bias=True):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh())
        self.head = torch.nn.Linear(5, 1, bias)
        seeded(self)

    def local(self, positions, index):
        gap = positions.unsqueeze(1) - positions
        near = (index.unsqueeze(1) == index).to(gap) - torch.eye(len(index)).to(gap)
        square = gap.square().sum(-1)
        rows = [(near * torch.exp(-square / width)).sum(1) for width in (1.0, 4.0, 9.0)]
        return self.head(self.body(torch.stack(rows, 1))).squeeze(1)

    def forward(self, positions, index):
        atoms = self.local(positions, index)
        return atoms.new_zeros(int(index.max()) + 1).index_add(0, index, atoms)
