"""The local power spectrum of smoothly truncated neighbor densities.

Notation
    n   atoms of all structures            k   places for neighbors, padded
    s   species x radial functions         m   spherical harmonics, (l_max + 1)^2
    f   features, (l_max + 1) s (s + 1) / 2
    V   [n, k, 3]   Å   vectors from an atom to its neighbors
    C   [n, s, m]   1   expansion of the density around an atom
    P   [n, f]      1   power spectrum, of unit length

    C_i,snlm   = sum_j A_s,sj R_n(r_ij) Y_lm(r_ij / |r_ij|) + A_s,si c_n [l = 0]
    P_i,nn'l   = sum_m C_i,nlm C_i,n'lm / (2 l + 1),   P <- P / |P|

This is SOAP (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), eqs. 28-33) with
neighbors that are points rather than Gaussians, and radial functions that are the same
for every l. Distances are taken in units of the cut-off, so that the descriptor is
the same for a structure and its enlarged copy. The atom itself enters as in SOAP, as a
constant along the functions' values at the origin; its `center` weight sets how much
of the kernel is two-body and how much three-body. The factor 1 / (2 l + 1) damps
angular detail. A is the root of the similarity of the species, 1 for a species with
itself and `alchemy` for any two: De, Bartók, Csányi and Ceriotti, Phys. Chem. Chem.
Phys. 18, 13754 (2016), eq. 17. At 0 species have nothing in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.descriptors.soap import basis_numba, power_spectrum_numba
from bostruct.descriptors.soap.neighbor_vectors import Base, Near
from bostruct.descriptors.soap.radial_basis import Radial
from bostruct.descriptors.soap.spherical_harmonics import Harmonics
from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.structures import Ground, Structures, ground


@final
@dataclass(frozen=True, eq=False)
class Slopes:
    """A descriptor and how it changes when one neighbor moves.

    Attributes:
        features: `[n, f]`.
        center: `[p]`, the atom whose environment changes.
        other: `[p]`, the neighbor that moves.
        slopes: `[p, 3, f]` 1/Å, derivative of `features[center]` with respect to the
            vector from `center` to `other`. Moving `center` has the opposite effect.
    """

    features: Tensor
    center: Tensor
    other: Tensor
    slopes: Tensor


@final
@dataclass(frozen=True)
class SOAP:
    """A smooth, normalised local power spectrum.

    Attributes:
        species: atomic numbers that may occur, each once.
        cutoff: Å; value, slope and curvature vanish there.
        radial: number of radial functions.
        angular: largest degree l of the spherical harmonics.
        center: weight of the atom itself against its neighbors.
        alchemy: similarity of two different species, from 0 to below 1.

    Raises:
        InputError: a number is out of range, or a species is repeated or missing.
    """

    species: tuple[int, ...]
    cutoff: float
    radial: int = 5
    angular: int = 4
    center: float = 45.0
    alchemy: float = 0.0

    def __post_init__(self) -> None:
        check_positive("cutoff", self.cutoff, "Give a length in Å.")
        check_count("radial", self.radial)
        check_count("angular", self.angular, least=0)
        check_positive("center", self.center)
        if not 0 <= self.alchemy < 1:
            condition = "be a similarity from 0 to below 1"
            raise InputError(must("alchemy", condition, self.alchemy))
        if not self.species or len(set(self.species)) != len(self.species):
            condition = "name each atomic number once"
            raise InputError(must("species", condition, self.species))

    @property
    def size(self) -> int:
        """The number of features f."""
        s = len(self.species) * self.radial
        return (self.angular + 1) * s * (s + 1) // 2

    def __call__(self, structures: Structures, base: Base | None = None) -> Tensor:
        """Return the features `[n, f]`, twice differentiable in the positions.

        Args:
            structures: n atoms in total.
            base: of these structures, see there.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        return self.seen(structures, base)[0]

    def seen(
        self, structures: Structures, base: Base | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the features `[n, f]`, and whether they differ from those of the base.

        Args:
            structures: n atoms in total.
            base: of these structures, see there.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        place = self.place(structures.numbers)  # [n]
        near = Near.of(structures, self.cutoff, place, base)
        if structures.device.type != "cpu":
            P = self._defined(structures.positions, near)
            return P, torch.ones_like(place, dtype=torch.bool)
        P, length = _Spectrum.apply(structures.positions, self, near)  # type: ignore[no-untyped-call]
        return P, length != 0

    def base(self, structures: Structures) -> Base | None:
        """Return what the fixed atoms see of each other, for as long as they stay.

        It spares the better part of the work where structures are many and on one
        slab. None where the structures share no fixed atoms.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        found = ground(structures)
        if found is None or structures.device.type != "cpu":
            return None
        kept: dict[str, Base] = vars(self).setdefault("_kept", {})
        last = kept.get("base")
        if last is None or not last.ground.same(found):
            kept["base"] = last = self._based(found)
        return last

    def _based(self, fixed: Ground) -> Base:
        place = self.place(fixed.atoms.numbers)
        near = Near.of(fixed.atoms, self.cutoff, place)
        V = near.vectors(fixed.atoms.positions) / self.cutoff
        P, _, _ = self._compiled(V, near.kind, near)
        _, expansion, _ = self._compiled(V, near.kind, near, mixed=False)
        return Base(fixed, expansion, P)

    def spectrum(
        self,
        vectors: Tensor,
        kind: Tensor,
        place: Tensor,
        own: Tensor | None = None,
    ) -> Tensor:
        """Return the features `[n, f]` from the vectors to the neighbors.

        Args:
            vectors: `[n, k, 3]` in cut-offs.
            kind: `[n, k]` species of the neighbors.
            place: `[n]` species of the atoms.
            own: `[n, s, m]` what atoms have without these neighbors, before species
                mix; by default what they add themselves.
        """
        r, u = _polar(vectors)
        own = self._own(place) if own is None else own
        C = self._expand(self._radial(r), self._harmonics(u), kind, own)
        P = self._power(C)
        length: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
        return P / length

    def slopes(self, structures: Structures) -> Slopes:
        """Return the features and their derivative for every pair.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        place = self.place(structures.numbers)
        near = Near.of(structures, self.cutoff, place)
        vectors = near.vectors(structures.positions) / self.cutoff
        if vectors.device.type == "cpu":
            return self._compiled_slopes(near, vectors)
        return self._tensor_slopes(near, _apart(vectors, near.mask))

    def _tensor_slopes(self, near: Near, vectors: Tensor) -> Slopes:
        other, mask, place = near.other, near.mask, near.place
        kind = place[other]
        r, u = _polar(vectors)
        R, dR = self._radial.gradient(r)  # [radial, n k]
        Y, dY = self._harmonics.gradient(u)  # [m, n k], [3, m, n k]
        C = self._expand(R, Y, kind, self._own(place))
        P = self._power(C)
        length = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
        P = P / length
        real = mask.flatten() & (r < 1)
        center, column = real.view_as(mask).nonzero(as_tuple=True)
        R, dR, Y, dY, u, r = (x[..., real] for x in (R, dR, Y, dY, u, r))
        # d(R Y)/dr = R' Y u + R (1 - u u^T) dY/du / r
        tangential = (dY - u.unsqueeze(1) * (u.unsqueeze(1) * dY).sum(0)) / r
        dC = torch.einsum("np,mp,xp->pxnm", dR, Y, u)
        dC += torch.einsum("np,xmp->pxnm", R, tangential)
        dC = dC.flatten(-2).unsqueeze(-2)  # [p, 3, 1, radial m]
        mixed = self._mixing.to(dC)[kind[center, column]]  # [p, species]
        dC = (mixed[:, None, :, None] * dC).view(*dC.shape[:2], *C.shape[1:])
        dP = self._power_slopes(dC / self.cutoff, C[center])
        along = (dP @ P[center].unsqueeze(-1)).squeeze(-1)  # [p, 3]
        dP = (dP - along.unsqueeze(-1) * P[center].unsqueeze(1)) / length[center, None]
        return Slopes(P, center, other[center, column], dP)

    def _compiled_slopes(self, near: Near, vectors: Tensor) -> Slopes:
        V = vectors.detach().contiguous()
        close = near.mask & ~(torch.linalg.vector_norm(V, dim=-1) >= 1)
        kind = torch.where(close, near.kind, -1)
        center, column = close.nonzero(as_tuple=True)
        row = close.flatten().cumsum(0).view_as(close) - 1
        P, C, length = self._compiled(V, kind, near)
        _, M, N, A = self._constants(V.dtype)
        dP = V.new_empty(len(center), 3, self.size)
        power_spectrum_numba.slopes(
            V.numpy(),
            kind.numpy(),
            row.numpy(),
            1 / self.cutoff,
            M,
            N,
            A,
            P.numpy(),
            C.numpy(),
            length.numpy(),
            dP.numpy(),
        )
        return Slopes(P, center, near.other[center, column], dP)

    def place(self, numbers: Tensor) -> Tensor:
        """Return the position of each atomic number in `species`, `[n]`.

        Raises:
            InputError: a number is not among them.
        """
        known = torch.tensor(self.species, device=numbers.device)
        equal = numbers.unsqueeze(-1) == known
        if not bool(equal.any(-1).all()):
            unknown = sorted(set(numbers.tolist()) - set(self.species))
            way_out = f"The descriptor was made for {list(self.species)}."
            condition = "be among the descriptor's species"
            raise InputError(must("numbers", condition, unknown, way_out))
        return equal.to(torch.int64).argmax(-1)

    def _defined(self, positions: Tensor, near: Near) -> Tensor:
        """Return the features by tensor operations."""
        vectors = _apart(near.vectors(positions) / self.cutoff, near.mask)
        own = self._own(near.place).to(vectors)
        if near.base is not None:
            rows = near.base.rows(len(own))
            there = near.base.expansion.to(vectors)[rows]
            own = torch.where((rows < 0).view(-1, 1, 1), own, there)
        return self.spectrum(vectors, near.place[near.other], near.place, own)

    def _compiled(
        self, V: Tensor, kind: Tensor, near: Near, *, mixed: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return P, C and lengths as `compiled.spectrum` does."""
        own, M, N, A = self._constants(V.dtype)
        if near.base is None:
            rows = torch.full_like(near.place, -1)
            there = V.new_empty(0, len(own) * len(A), (self.angular + 1) ** 2)
            alone = V.new_empty(0, self.size)
        else:
            rows = near.base.rows(len(V))
            there, alone = near.base.expansion, near.base.features
        found = power_spectrum_numba.spectrum(
            V.contiguous().numpy(),
            kind.contiguous().numpy(),
            near.place.contiguous().numpy(),
            rows.numpy(),
            there.numpy(),
            alone.numpy(),
            M,
            own,
            N,
            A if mixed else np.eye(len(A), dtype=A.dtype),
        )
        P, C, length = (torch.from_numpy(array) for array in found)
        return P, C, length

    def _expand(self, R: Tensor, Y: Tensor, kind: Tensor, own: Tensor) -> Tensor:
        """Return C `[n, s, m]` from R `[radial, n k]`, Y `[m, n k]`."""
        n, k = kind.shape
        size = len(self.species)
        C = self._by_species(R, kind) @ Y.view(-1, n, k).permute(1, 2, 0) + own
        return (self._mixing.to(C) @ C.view(n, size, -1)).view_as(C)

    def _own(self, place: Tensor) -> Tensor:
        """Return what the atoms themselves add, `[n, s, m]`."""
        origin = self._origin.to(place.device)
        hot = torch.nn.functional.one_hot(place, len(self.species)).to(origin)
        own = (hot.unsqueeze(-1) * origin).flatten(1).unsqueeze(-1)  # [n, s, 1]
        return torch.nn.functional.pad(own, (0, (self.angular + 1) ** 2 - 1))

    def _by_species(self, R: Tensor, kind: Tensor) -> Tensor:
        """Return R `[radial, n k]` as `[n, s, k]`, zero for other species."""
        R = R.view(self.radial, *kind.shape).transpose(0, 1)  # [n, radial, k]
        size = len(self.species)
        if size == 1:
            return R
        hot = torch.nn.functional.one_hot(kind, size).to(R)  # [n, k, species]
        return (hot.permute(0, 2, 1).unsqueeze(2) * R.unsqueeze(1)).flatten(1, 2)

    def _power(self, C: Tensor) -> Tensor:
        """Return the power spectrum `[n, f]`, not yet normalised."""
        n, s, _ = C.shape
        rows = self._rows(C)
        return self._pack((rows @ C.transpose(-1, -2)).view(n, -1, s, s))

    def _rows(self, C: Tensor) -> Tensor:
        """Return C by degree, weighted, `[n, l s, m]`: one product serves all."""
        degrees = self._degrees.to(C).unsqueeze(1)  # [l, 1, m], zero for other degrees
        return (C.unsqueeze(1) * degrees).flatten(1, 2)

    def _power_slopes(self, dC: Tensor, C: Tensor) -> Tensor:
        """Return dP `[p, 3, f]` from dC `[p, 3, s, m]` and C `[p, s, m]`."""
        grams = []
        pieces = zip(dC.split(self._orders, -1), C.split(self._orders, -1), strict=True)
        for ell, (d, c) in enumerate(pieces):
            product = d.flatten(1, 2) @ c.transpose(-1, -2) / (2 * ell + 1)
            grams.append(product.view(len(C), 3, C.shape[1], C.shape[1]))
        block = torch.stack(grams, 2)  # [p, 3, l, s, s]
        return self._pack(block + block.transpose(-1, -2))

    def _pack(self, grams: Tensor) -> Tensor:
        """Keep one of the equal halves of symmetric `[..., l, s, s]`, same norm."""
        where, weight = self._packing
        where, weight = where.to(grams.device), weight.to(grams)
        return grams.flatten(-3).index_select(-1, where) * weight

    @cached_property
    def _packing(self) -> tuple[Tensor, Tensor]:
        s = len(self.species) * self.radial
        row, column = torch.triu_indices(s, s)
        ell = torch.arange(self.angular + 1).unsqueeze(-1)
        weight = torch.full(row.shape, math.sqrt(2), dtype=torch.float64)
        weight[row == column] = 1
        return (ell * s * s + row * s + column).flatten(), weight.repeat(len(ell))

    @cached_property
    def _degrees(self) -> Tensor:
        """1 / (2 l + 1) where a harmonic is of degree l, `[l, m]`."""
        kinds = torch.arange(self.angular + 1).repeat_interleave(
            torch.tensor(self._orders)
        )
        same = kinds == torch.arange(self.angular + 1).unsqueeze(-1)
        return same.double() / (2 * kinds + 1)

    @property
    def _orders(self) -> list[int]:
        return [2 * ell + 1 for ell in range(self.angular + 1)]

    @cached_property
    def _mixing(self) -> Tensor:
        """A, `[species, species]`: the root of (1 - alchemy) 1 + alchemy 11^T."""
        size = len(self.species)
        apart = math.sqrt(1 - self.alchemy)
        common = (math.sqrt(1 + (size - 1) * self.alchemy) - apart) / size
        whole = torch.full((size, size), common, dtype=torch.float64)
        return whole + apart * torch.eye(size, dtype=torch.float64)

    @cached_property
    def _radial(self) -> Radial:
        return Radial(1.0, self.radial)

    @cached_property
    def _harmonics(self) -> Harmonics:
        return Harmonics(self.angular)

    @cached_property
    def _origin(self) -> Tensor:
        """What the atom itself adds to the l = 0 coefficients, `[radial]`."""
        value = self._radial(torch.zeros(1, dtype=torch.float64)).squeeze(-1)
        length = float(torch.linalg.vector_norm(value))
        return value * (self.center / length / math.sqrt(4 * math.pi))

    def _constants(self, dtype: torch.dtype) -> tuple[NDArray[Any], ...]:
        """Return what the compiled loops need: own part, radial map, norms, A."""
        kind = np.dtype(str(dtype).removeprefix("torch."))
        return tuple(array.astype(kind, copy=False) for array in self._arrays)

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        radial = np.ascontiguousarray(self._radial.matrix.numpy())
        norms = basis_numba.norms(self.angular)
        return self._origin.numpy(), radial, norms, self._mixing.numpy()


@final
class _Spectrum(torch.autograd.Function):
    """`SOAP.spectrum` of positions and its slope, compiled; and the lengths.

    Slopes with fixed atoms leave out what belongs to the base.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        soap: SOAP,
        near: Near,
    ) -> tuple[Tensor, Tensor]:
        V = (near.vectors(positions.detach()) / soap.cutoff).contiguous()
        kind = near.kind.contiguous()
        P, C, length = soap._compiled(V, kind, near)
        ctx.soap, ctx.near = soap, near
        ctx.save_for_backward(positions, V, kind, P, C, length)
        ctx.mark_non_differentiable(length)
        return P, length

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        positions, V, kind, P, C, length = ctx.saved_tensors
        soap: SOAP = ctx.soap
        near: Near = ctx.near
        if torch.is_grad_enabled():  # someone wants to differentiate this again
            again = soap._defined(positions, near)
            (twice,) = torch.autograd.grad(again, positions, g, create_graph=True)
            return twice, None, None
        M, N, A = soap._constants(V.dtype)[1:]
        found = power_spectrum_numba.slope(
            g.contiguous().numpy(),
            V.numpy(),
            kind.numpy(),
            near.other.contiguous().numpy(),
            M,
            N,
            A,
            P.numpy(),
            C.numpy(),
            length.numpy(),
        )
        return torch.from_numpy(found) / soap.cutoff, None, None


def _apart(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return vectors in cut-offs, those of no neighbor far away."""
    beyond = vectors.new_tensor([2.0, 0.0, 0.0])
    return torch.where(mask.unsqueeze(-1), vectors, beyond)


def _polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances `[n k]` and unit vectors `[3, n k]`."""
    flat = vectors.flatten(0, 1)
    r = torch.linalg.vector_norm(flat, dim=-1)
    return r, (flat / r.unsqueeze(-1)).T.contiguous()
