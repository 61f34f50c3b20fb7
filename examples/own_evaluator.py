"""An evaluator of your own, as one class.

It takes one structure and returns an `Evaluation`, or a `Failure` with its reason. Here it is a
Morse potential in torch, whose forces come from autograd; it might as well write an input file and
start a program. `description` holds all that changes the energies: a run folder refuses to continue
with another potential.

Where a function of `ase.Atoms` is enough, `bo.evaluators.Function(function)` will do.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch

import bostruct as bo


@dataclass(frozen=True)
class Morse:
    """Morse potential, Σ over pairs of ε (exp(-2 ρ (r - r0)) - 2 exp(-ρ (r - r0)))."""

    depth: float = 1.0  # ε, eV
    length: float = 2.9  # r0, Å
    steepness: float = 2.4  # ρ, 1/Å

    def __call__(
        self, structures: bo.structures.Structures
    ) -> bo.evaluators.Evaluation | bo.evaluators.Failure:
        """Return the energy of one structure in eV, and its forces `[a, 3]` in eV/Å."""
        positions = structures.positions.detach().requires_grad_()
        r = torch.pdist(positions)  # [a (a - 1) / 2] Å
        if r.min() < 0.5 * self.length:
            return bo.evaluators.Failure(f"two atoms are {r.min():.2f} Å apart")
        decay = torch.exp(-self.steepness * (r - self.length))
        energy = (self.depth * (decay.square() - 2.0 * decay)).sum()
        (gradient,) = torch.autograd.grad(energy, positions)
        return bo.evaluators.Evaluation(energy.item(), -gradient)

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        return {"type": "Morse", **asdict(self)}


campaign = bo.Campaign(
    space=bo.spaces.Cluster("Ag6", min_distance=1.5),
    evaluator=Morse(),
    stop=bo.stop.Evaluations(10),
)

if __name__ == "__main__":
    log = campaign.run("runs/own_evaluator", seed=0)
    energies = [trial.energy for trial in log.trials("done")]
    failures = [trial.reason for trial in log.trials("failed")]
    print(f"best of {len(energies)}: {min(energies):.4f} eV; failures: {failures}")
