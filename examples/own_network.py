"""Error bars for a network of your own, without training it again.

The network is any torch module with a final linear layer; here a small one that adds up energies of
atoms. `LastLayerLaplace` takes the features that enter that layer: once for training data, once for
held-out data, which decide how large an error bar is. Structures rattled more than those in
training get wider ones.
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


def rattled_clusters(count: int, size: float, seed: int) -> list[Atoms]:
    """Return clusters of 13 atoms, rattled by `size` Å, with their energies."""
    images = []
    for k in range(count):
        atoms = Atoms(Icosahedron("Cu", 2))
        atoms.rattle(size, seed=seed + k)
        atoms.calc = EMT()
        atoms.get_forces()
        images.append(atoms)
    return images


def batch(images: list[Atoms]) -> LayerBatch:
    """Return inputs of the network with true energies and forces."""
    structures = bo.structures.from_ase(images)
    targets = structures.energy, structures.index, structures.positions
    return LayerBatch(structures.positions, *targets, structures.forces)


def train_network(data: LayerBatch) -> Network:
    """Return a network trained on energies by Adam."""
    torch.manual_seed(0)
    model = Network().double()
    model.header.bias.data.fill_(float(data.target.mean()) / 13)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 1000)
    for _ in range(1000):
        adam.zero_grad()
        (model(data.inputs) - data.target).square().mean().backward()
        adam.step()
        schedule.step()
    return model.eval()


def energy_range(images: list[Atoms]) -> str:
    """Return the lowest and the highest energy as text."""
    energies = torch.tensor([atoms.get_potential_energy() for atoms in images])
    return f"energies of {float(energies.min()):.1f} to {float(energies.max()):.1f} eV"


if __name__ == "__main__":
    images = rattled_clusters(150, 0.1, seed=0)
    train, held_out = batch(images[:100]), batch(images[100:])
    print("100 clusters,", energy_range(images[:100]))
    model = train_network(train)

    laplace = LastLayerLaplace.from_model(model, train)
    linear_model = laplace.fit([train], dataset_name="100 rattled icosahedra of copper")
    energies = laplace.calibrated(linear_model, [held_out])
    forces = laplace.calibrated(linear_model, [held_out], "force")
    layer, count = laplace.layer_names[0], linear_model.n_features
    print(f"layer {layer}: {count} features, one of them constant")

    for size in (0.1, 0.2):
        test = batch(rattled_clusters(30, size, seed=1000))
        prediction = laplace.predict(energies, test, force_model=forces)
        rmse = (prediction.mean - test.target).square().mean().sqrt()
        sigma = prediction.variance.mean().sqrt()
        force_rmse = (prediction.forces - test.forces).square().mean().sqrt()
        force_sigma = prediction.force_variance.mean().sqrt()
        print(f"rattled by {size} Å: energies, RMSE {rmse:.3f} eV, σ {sigma:.3f} eV;")
        print(f"                   forces, RMSE {force_rmse:.2f} eV/Å, σ {force_sigma:.2f} eV/Å")
