"""Small labelled clusters, and the dense Gaussian process written out."""

import math
from dataclasses import replace

import numpy as np
import torch
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from bostruct.structures import from_ase, to_ase
from bostruct.surrogates.local_gp.dot_product_kernel import PowerKernel


def labelled(X, space, steps=0, seed=0, shake=0.1):
    """Return the structures at X, a little relaxed and shaken, with EMT results."""
    rng = np.random.default_rng(seed)
    found = []
    for atoms in to_ase(space.decode(X)):
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.01, steps=steps)
        atoms.positions += rng.uniform(-shake, shake, atoms.positions.shape)
        atoms.get_potential_energy()
        atoms.get_forces()
        found.append(atoms)
    return from_ase(found)


def energies_only(structures):
    return replace(structures, forces=None)


def written_out(kernel):
    """Return a kernel of the dot product and its two derivatives."""
    if isinstance(kernel, PowerKernel):
        z = kernel.zeta
        return (
            lambda t: t**z,
            lambda t: z * t ** (z - 1),
            lambda t: z * (z - 1) * t ** max(z - 2, 0),
        )
    terms = list(zip(kernel.weights, kernel.length_scales, strict=True))
    total = sum(kernel.weights)
    return tuple(
        lambda t, n=n: sum(w / total * torch.exp(-(1 - t) / s) / s**n for w, s in terms)
        for n in range(3)
    )


class Dense:
    """The Gaussian process LocalGP stands for, with every matrix in memory.

    k(A, B) = s² sum_ij [species] g(P_i . P_j) + sum_t s_t² F_t(A) . F_t(B); force rows by
    differentiating the descriptor, one row at a time, and the features of the terms F_t.
    """

    def __init__(self, model, train, forces=True):
        self.model = model
        fit = model.fitted
        rows, y, noise = self.rows(train, forces), [], []
        prior = self.prior(train)
        y.append(train.energy - prior[0])
        noise.append(fit.energy_noise_std**2 * train.counts * self.trust**2)
        if forces:
            y.append((train.forces - prior[1]).flatten())
            noise.append(fit.force_noise_std**2 * torch.ones_like(y[-1]))
        self.train, self.y, self.noise = rows, torch.cat(y), torch.cat(noise)
        K = fit.signal_std**2 * self.kernel(rows, rows) + torch.diag(self.noise)
        self.factor = torch.linalg.cholesky(K)

    trust = 1.0

    def prior(self, structures):
        positions = structures.positions.clone().requires_grad_()
        moved = replace(structures, positions=positions)
        place = self.model.soap.species_index(structures.numbers)
        energy = self.model._prior_mean(moved, place)
        if not energy.requires_grad:
            return energy, torch.zeros_like(positions)
        (slope,) = torch.autograd.grad(energy.sum(), positions)
        return energy.detach(), -slope

    def rows(self, structures, forces):
        """Return environments, species, and d(environment)/d(row) with its atom.

        A row is a linear functional of the process: a list of (P, dP, species) per
        structure, where dP `[3a, a, f]` are the descriptor's derivatives.
        """
        found = []
        for one in structures:
            soap = self.model.soap
            place = soap.species_index(one.numbers)
            P = soap(one)

            def features(positions, one=one):
                return self.model.soap(replace(one, positions=positions))

            dP = None
            if forces:
                dP = torch.autograd.functional.jacobian(features, one.positions)
                dP = -dP.permute(2, 3, 0, 1).flatten(0, 1)  # [3a, a, f]; force = -slope
            found.append((P, dP, place, *self.term_rows(one, place, forces)))
        return found

    def term_rows(self, one, place, forces):
        """Return the features of the terms in units of s, of the energy and of the forces."""
        terms, s = self.model.terms, self.model.fitted.signal_std
        std = terms.weight_std(s, 0, terms.amplitudes) / s

        def features(positions):
            moved = replace(one, positions=positions)
            empty = positions.new_zeros(1, 0)
            return terms.append_features(empty, moved, place, one.index) * std

        energy = features(one.positions)
        if not forces:
            return energy, None
        if not terms.terms:
            return energy, energy.new_zeros(one.positions.numel(), 0)
        slope = torch.autograd.functional.jacobian(features, one.positions)
        return energy, -slope.squeeze(0).flatten(1).T

    def features(self, structures, forces):
        """Return the model's own Nyström features, energies first."""
        model, place = self.model, self.model.soap.species_index(structures.numbers)
        slopes = model.soap.gradients(structures)
        K = model.inducing.energy_covariances(
            slopes.features, place, structures.index, len(structures)
        )
        if forces:
            steep = model.inducing.force_covariances(slopes, place).flatten(0, 1)
            K = torch.cat((K, steep))
        every = [
            self.term_rows(one, model.soap.species_index(one.numbers), forces) for one in structures
        ]
        terms = torch.cat([energy for energy, _ in every])
        if forces:
            terms = torch.cat((terms, *(force for _, force in every)))
        return torch.cat((model.inducing.whiten(K), terms), -1)

    def kernel(self, left, right):
        g, first_g, second_g = written_out(self.model.kernel)
        blocks = {}
        for which in ("EE", "EF", "FE", "FF"):
            rows = []
            for P, dP, a, e, f in left:
                row = []
                for Q, dQ, b, e2, f2 in right:
                    same = (a[:, None] == b[None]).to(P)
                    D = P @ Q.T
                    if which == "EE":
                        row.append((g(D) * same).sum().view(1, 1) + e @ e2.T)
                        continue
                    if (which[0] == "F" and dP is None) or (which[1] == "F" and dQ is None):
                        continue
                    first = first_g(D) * same
                    if which == "EF":
                        block = torch.einsum("ij,if,xjf->x", first, P, dQ).view(1, -1)
                        row.append(block + e @ f2.T)
                    elif which == "FE":
                        block = torch.einsum("ij,xif,jf->x", first, dP, Q).view(-1, 1)
                        row.append(block + f @ e2.T)
                    else:
                        second = second_g(D) * same
                        ahead = torch.einsum("xif,jf->xij", dP, Q)
                        behind = torch.einsum("if,yjf->yij", P, dQ)
                        block = torch.einsum("ij,xij,yij->xy", second, ahead, behind)
                        block += torch.einsum("ij,xif,yjf->xy", first, dP, dQ)
                        row.append(block + f @ f2.T)
                if row:
                    rows.append(torch.cat(row, 1))
            if rows:
                blocks[which] = torch.cat(rows, 0)
        top = [blocks[k] for k in ("EE", "EF") if k in blocks]
        K = torch.cat(top, 1)
        low = [blocks[k] for k in ("FE", "FF") if k in blocks]
        return torch.cat([K, torch.cat(low, 1)]) if low else K

    def predict(self, structures, forces=False):
        """Return means and covariance of energies (and forces) together."""
        rows, s = self.rows(structures, forces), self.model.fitted.signal_std
        prior = self.prior(structures)
        mean = prior[0]
        if forces:
            mean = torch.cat((mean, prior[1].flatten()))
        cross = s**2 * self.kernel(rows, self.train)
        root = torch.linalg.solve_triangular(self.factor, cross.T, upper=False)
        news = torch.linalg.solve_triangular(self.factor, self.y.unsqueeze(-1), upper=False)
        mean = mean + (root.T @ news).squeeze(-1)
        return mean, s**2 * self.kernel(rows, rows) - root.T @ root

    def log_evidence(self):
        news = torch.linalg.solve_triangular(self.factor, self.y.unsqueeze(-1), upper=False)
        volume = 2 * self.factor.diagonal().log().sum()
        n = len(self.y)
        return -(news.square().sum() + volume + n * math.log(2 * math.pi)) / 2
