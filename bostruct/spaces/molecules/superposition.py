"""Root mean square deviation of positions after the best superposition."""

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
