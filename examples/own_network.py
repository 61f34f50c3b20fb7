"""Error bars for a network of your own, without training it again.

The network is any torch module with a final linear layer; here a small one that adds up
energies of atoms. `Readout` looks at what enters that layer: once for training data,
once for data that were held out, which decide how large an error bar is. Hotter
structures, which the network has not seen, get wider ones.
"""

import torch
from ase import Atoms
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron

import bostruct as bo
from bostruct.uncertainty import LastLayerLaplace, LayerBatch

WIDTHS = torch.tensor([4.0, 6.0, 8.0, 11.0, 15.0, 20.0], dtype=torch.float64)  # Å²


class Network(torch.nn.Module):
    """Energies `[b]` of clusters of 13 from the distances around each atom."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(len(WIDTHS), 32), torch.nn.Tanh(), torch.nn.Linear(32, 32)
        )
        self.header = torch.nn.Linear(32, 1)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the energies at positions `[13 b, 3]`."""
        r = positions.view(-1, 13, 3)
        square = (r.unsqueeze(2) - r.unsqueeze(1)).square().sum(-1, keepdim=True)
        rows = torch.exp(-square / WIDTHS).sum(2) - 1  # an atom is no neighbor of itself
        atoms = self.header(self.body(rows.view(-1, len(WIDTHS))).tanh())
        return atoms.view(-1, 13).sum(1)


def shaken(count: int, size: float, seed: int) -> list[Atoms]:
    """Return clusters of 13 atoms, shaken by `size` Å, with their energies."""
    images = []
    for k in range(count):
        atoms = Atoms(Icosahedron("Cu", 2))
        atoms.rattle(size, seed=seed + k)
        atoms.calc = EMT()
        atoms.get_forces()
        images.append(atoms)
    return images


def batch(images: list[Atoms]) -> LayerBatch:
    """Return what the network is asked, with the truth; forces have a slope."""
    structures = bo.structures.from_ase(images)
    known = structures.energy, structures.index, structures.positions
    return LayerBatch(structures.positions, *known, structures.forces)


def trained(data: LayerBatch) -> Network:
    """Return a network that was trained as one's own was: somehow."""
    torch.manual_seed(0)
    model = Network().double()
    model.header.bias.data.fill_(float(data.target.mean()) / 13)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 1000)
    for _ in range(1000):
        adam.zero_grad()
        (model(data.inputs) - data.target).square().mean().backward()
        adam.step()
        slower.step()
    return model.eval()


def spread(images: list[Atoms]) -> str:
    """Return how far energies are apart, in words."""
    energies = torch.tensor([atoms.get_potential_energy() for atoms in images])
    return f"energies of {float(energies.min()):.1f} to {float(energies.max()):.1f} eV"


if __name__ == "__main__":
    images = shaken(150, 0.1, seed=0)
    train, held = batch(images[:100]), batch(images[100:])
    print("100 clusters,", spread(images[:100]))
    model = trained(train)

    readout = LastLayerLaplace.from_model(model, train)
    metric = readout.fit([train], dataset_name="100 shaken icosahedra of copper")
    energies = readout.calibrated(metric, [held])
    forces = readout.calibrated(metric, [held], "force")
    print(f"layer {readout.layer_names[0]}: {metric.n_features} features, one of them constant")

    for size in (0.1, 0.2):
        new = batch(shaken(30, size, seed=1000))
        found = readout.predict(energies, new, force_model=forces)
        error = (found.mean - new.target).square().mean().sqrt()
        wide = found.variance.mean().sqrt()
        pull = (found.forces - new.forces).square().mean().sqrt()
        bar = found.force_variance.mean().sqrt()
        print(f"shaken by {size} Å: energies off by {error:.3f} eV, said {wide:.3f} eV;")
        print(f"                  forces off by {pull:.2f} eV/Å, said {bar:.2f} eV/Å")
