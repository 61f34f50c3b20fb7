"""What a count of successes says of their share.

Notation
    k, n   successes, trials
    z      quantile of the standard normal distribution; 1.96 for 95 %
"""

from __future__ import annotations

import math

from bostruct.errors import InputError, check_count, error_message

Z_95 = 1.959963984540054
"""Two-sided 95 %."""


def wilson_interval(k: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a share of k in n.

    With p = k / n, the ends are the solutions p' of (p - p')^2 = z^2 p' (1 - p') / n
    (E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)). Nothing is known of no runs.

    >>> [round(end, 3) for end in wilson(20, 20)]
    [0.839, 1.0]

    Raises:
        InputError: k is not between 0 and n.
    """
    check_count("n", n, 0)
    if not 0 <= k <= n:
        raise InputError(error_message("k", f"be between 0 and {n}", k))
    if n == 0:
        return 0.0, 1.0
    share = k / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if k == 0 else (centre - half) / scale
    high = 1.0 if k == n else (centre + half) / scale
    return low, high
