"""Chemical symbols, and the formulas written with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_TABLE = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn
Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce
Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
Mc Lv Ts Og
"""

SYMBOLS: tuple[str, ...] = tuple(_TABLE.split())
"""Symbol of each atomic number; 0 is the placeholder X."""


def formula(numbers: Iterable[int]) -> str:
    """Return the formula as `Atoms.get_chemical_formula` writes it: C, H, then A to Z.

    >>> formula([1, 8, 1])
    'H2O'
    """
    count = Counter(SYMBOLS[number] for number in numbers)
    first = [symbol for symbol in ("C", "H") if symbol in count]
    order = first + sorted(symbol for symbol in count if symbol not in first)
    return "".join(f"{s}{count[s] if count[s] > 1 else ''}" for s in order)
