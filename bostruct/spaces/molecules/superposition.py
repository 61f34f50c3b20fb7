"""Best superposition of positions: its rotation, and the root mean square deviation after it."""

from __future__ import annotations

import torch
from torch import Tensor


def superposed_rmsd(P: Tensor, Q: Tensor) -> Tensor:
    """Return the RMSD of positions after shift and rotation, `[...]` Å.

    W. Kabsch, Acta Cryst. A 32, 922 (1976): with the singular values s of the covariance H of
    centered positions, N RMSD² = |P|² + |Q|² - 2 (s1 + s2 ± s3), the sign that of det H.

    Args:
        P: `[..., a, 3]` Å.
        Q: `[..., a, 3]` Å, of the same atoms in the same order.
    """
    P, Q = (R - R.mean(-2, keepdim=True) for R in (P, Q))
    H = P.transpose(-1, -2) @ Q
    s = torch.linalg.svdvals(H)
    sign = torch.linalg.det(H).sign()
    overlap = s[..., 0] + s[..., 1] + torch.where(sign < 0, -1.0, 1.0) * s[..., 2]
    squares = P.square().sum((-2, -1)) + Q.square().sum((-2, -1))
    mean: Tensor = (squares - 2 * overlap).clamp(min=0) / P.shape[-2]
    return mean.sqrt()


def optimal_quaternions(P: Tensor, Q: Tensor) -> Tensor:
    """Return the unit quaternions w, x, y, z of the rotations that turn P onto Q best, `[..., 4]`.

    B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987), section 4: the eigenvector of the largest
    eigenvalue of a matrix of sums of products. Where several rotations are best, as of atoms in
    line, it is one of them.

    Args:
        P: `[..., a, 3]` Å, centered.
        Q: `[..., a, 3]` Å, of the same atoms in the same order, centered.
    """
    S = P.transpose(-1, -2) @ Q
    trace = S.diagonal(dim1=-2, dim2=-1).sum(-1)
    odd = torch.stack(
        (
            S[..., 1, 2] - S[..., 2, 1],
            S[..., 2, 0] - S[..., 0, 2],
            S[..., 0, 1] - S[..., 1, 0],
        ),
        -1,
    )
    eye = torch.eye(3, dtype=S.dtype, device=S.device)
    even = S + S.transpose(-1, -2) - trace[..., None, None] * eye
    top = torch.cat((trace.unsqueeze(-1), odd), -1).unsqueeze(-2)
    N = torch.cat((top, torch.cat((odd.unsqueeze(-1), even), -1)), -2)
    q: Tensor = torch.linalg.eigh(N).eigenvectors[..., -1]
    return q
