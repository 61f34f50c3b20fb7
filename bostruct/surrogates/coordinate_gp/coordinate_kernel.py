"""Kernel of functions of a few coordinates, periodic where these are, with derivatives.

Of each coordinate, in units in which its range is 2 π and t the difference of two points:

    k(t) = exp(-s(t)),   s = (1 - cos t) / l²   if periodic,   s = t² / (2 l²)   if not

The first is the periodic kernel of MacKay, Introduction to Gaussian processes, NATO ASI Series F
168, 133 (1998), the second the squared exponential one; l is a length scale of the coordinate. The
kernel of all of them is a sum over orders of interaction (Duvenaud, Nickisch, Rasmussen, Adv.
Neural Inf. Process. Syst. 24, 226 (2011)),

    K = c² + a1² / d sum_i k_i + a2² 2 / (d (d - 1)) sum_i<j k_i k_j + ad² prod_i k_i

as energies of torsions are sums of terms of one or two of them, and a remainder. Derivatives follow
from those of k: with g = s'(t) and h = s''(t), d/dx k = -g k, d/dx' k = g k and
d²/dx dx' k = (h - g²) k. Covariances of values and derivatives: Rasmussen and Williams 2006,
section 9.4. Three coordinates may be a rotation vector: they have one factor k of the sums and the
product, that of `rotation_kernel`.

Notation
    n, m, d   points, other points, coordinates
    p         factors: coordinates, the three of a rotation counted once
    U, V      [n, d], [m, d]   points in the units above
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.surrogates.coordinate_gp.rotation_kernel import RotationKernel


class CoordinateKernel(NamedTuple):
    """Hyperparameters of the kernel.

    Attributes:
        periodic: `[d]` bool.
        lengthscales: `[p]` in units in which a range is 2 π.
        amplitudes: `[3]` eV: of single coordinates, of pairs, and of all together.
        constant: standard deviation of the mean energy, eV.
        rotation: the rotation among the coordinates, None without any.
    """

    periodic: Tensor
    lengthscales: Tensor
    amplitudes: Tensor
    constant: Tensor
    rotation: RotationKernel | None = None

    def prior_variance(self) -> Tensor:
        """Return the variance of an energy, `[]` eV²."""
        return self.amplitudes.square().sum() + self.constant.square()

    def energies(self, U: Tensor, V: Tensor) -> Tensor:
        """Return the covariances of energies at U `[..., n, d]` and V `[..., m, d]`, `[..., n, m]`.

        Differentiable.
        """
        k = self._factors(U, V, U.unsqueeze(-2) - V.unsqueeze(-3))
        single, pair, every = self._weights()
        first = k.sum(-1)
        second = (first.square() - k.square().sum(-1)) / 2
        value: Tensor = single * first + pair * second + every * k.prod(-1)
        return value + self.constant.square()

    def energies_and_gradients(self, U: Tensor, V: Tensor) -> Tensor:
        """Return the covariances of energies at U with energies and gradients at V.

        Differentiable in U `[..., n, d]`; V is `[m, d]`, the result `[..., n, (d + 1) m]`: all
        energies, then all gradients by the first coordinate, and so on.
        """
        t = U.unsqueeze(-2) - V  # [..., n, m, d]
        k, (g, _) = self._factors(U, V, t), self._slopes(t)
        single, pair, every = self._weights()
        product = k.prod(-1, keepdim=True)
        first = k.sum(-1, keepdim=True)
        value = single * first + pair * (first.square() - k.square().sum(-1, keepdim=True)) / 2
        value = value + every * product + self.constant.square()
        rest = k * (single + pair * (first - k)) + every * product
        if self.rotation is not None:
            g = self._with_rotation(g, -self.rotation.right_slopes(U, V))
        gradients = g * self._of_coordinates(rest)
        return torch.cat((value, gradients), -1).transpose(-1, -2).flatten(-2)

    def joint(self, U: Tensor, V: Tensor) -> Tensor:
        """Return the covariances of energies and gradients, `[(d + 1) n, (d + 1) m]`.

        Args:
            U: `[n, d]`; its energies are the first rows, its gradients by the first coordinate the
                next ones, and so on.
            V: `[m, d]`, in the columns likewise.
        """
        n, d = U.shape
        t = U.unsqueeze(-2) - V  # [n, m, d]
        k, (g, h) = self._factors(U, V, t), self._slopes(t)
        single, pair, every = self._weights()
        product, first = k.prod(-1, keepdim=True), k.sum(-1, keepdim=True)
        value = single * first + pair * (first.square() - k.square().sum(-1, keepdim=True)) / 2
        value = value + every * product + self.constant.square()
        rest = k * (single + pair * (first - k)) + every * product  # factor of one derivative
        rest, k, left = self._of_coordinates(rest), self._of_coordinates(k), g
        if self.rotation is not None:  # whose derivatives by U and V are not opposite
            turned = self.rotation.slopes(U, V)
            left = self._with_rotation(g, turned.left)
            g = self._with_rotation(g, -turned.right)
        columns = g * rest
        rows = columns if self.rotation is None else left * rest
        mixed = -left.unsqueeze(-1) * g.unsqueeze(-2)  # [n, m, d, d]
        mixed = mixed * (pair * k.unsqueeze(-1) * k.unsqueeze(-2) + every * product.unsqueeze(-1))
        eye = torch.eye(d, dtype=torch.bool, device=U.device)
        mixed = torch.where(eye, torch.diag_embed((h - g.square()) * rest), mixed)
        if self.rotation is not None:
            c, square = self.rotation.column, self.lengthscales[self.rotation.column].square()
            own = slice(c, c + 3)
            within = turned.mixed / square + left[..., own, None] * g[..., None, own]
            mixed[..., own, own] = -within * rest[..., own, None]
        top = torch.cat((value, columns), -1).unsqueeze(-2)  # [n, m, 1, d + 1]
        below = torch.cat((-rows.unsqueeze(-1), mixed), -1)  # [n, m, d, d + 1]
        return torch.cat((top, below), -2).permute(2, 0, 3, 1).reshape(n * (d + 1), -1)

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights of the sums over factors, over pairs, and of the product."""
        single, pair, every = self.amplitudes.square()
        p = len(self.lengthscales)
        return single / p, pair * (2 / (p * (p - 1)) if p > 1 else 0.0), every

    def _factor_index(self, d: int) -> Tensor:
        """Return the factor of each of d coordinates, `[d]`, as `CoordinateDomain` has it."""
        first = torch.ones(d, dtype=torch.int64, device=self.lengthscales.device)
        if self.rotation is not None:
            first[self.rotation.column + 1 : self.rotation.column + 3] = 0
        return first.cumsum(0) - 1

    def _of_coordinates(self, values: Tensor) -> Tensor:
        """Return values of factors `[..., p]` by coordinate, `[..., d]`."""
        if self.rotation is None:
            return values
        return values[..., self._factor_index(len(self.periodic))]

    def _factors(self, U: Tensor, V: Tensor, t: Tensor) -> Tensor:
        """Return k of each factor, `[..., n, m, p]`, at differences t `[..., n, m, d]`."""
        s = torch.where(self.periodic, 1 - t.cos(), 0.5 * t.square())
        if self.rotation is not None:
            c = self.rotation.column
            turned = self.rotation.squared_distances(U, V).unsqueeze(-1)
            s = torch.cat((s[..., :c], turned, s[..., c + 3 :]), -1)
        return torch.exp(-(s / self.lengthscales.square()))

    def _slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return s'(t) and s''(t), two `[..., d]`, without meaning for a rotation."""
        first = torch.where(self.periodic, t.sin(), t)
        second = torch.where(self.periodic, t.cos(), torch.ones_like(t))
        squares = self._of_coordinates(self.lengthscales).square()
        return first / squares, second / squares

    def _with_rotation(self, slopes: Tensor, turned: Tensor) -> Tensor:
        """Return slopes `[..., d]` with those of the squared distance of rotations `[..., 3]`."""
        assert self.rotation is not None
        c = self.rotation.column
        turned = turned / self.lengthscales[c].square()
        return torch.cat((slopes[..., :c], turned, slopes[..., c + 3 :]), -1)
