"""The first table: what an uncertainty should be, and what each method is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bostruct.compare.outcome import ENERGY, FORCES
from bostruct.compare.sheet import MISSING, Column, L
from bostruct.compare.split import TEST


def glance(
    found: Sequence[L],
    *,
    rmse: Callable[[L], str],
    sharp: Callable[[L], str],
    robust: Callable[[L], str],
    fit: Callable[[L], str],
    cost: Callable[[L], str],
    forces: Callable[[L], str],
) -> list[Column[L]]:
    """Return columns for the desiderata: accurate, precise, robust, cheap.

    Args:
        found: Of all methods, sets and quantities; a line of the table is the first
            one of a method.
        rmse: What writes the error of a line.
        sharp: The same of σ.
        robust: Of z², and what it says.
        fit: Of the time of a fit.
        cost: Of the time of a prediction.
        forces: Of that with σ of forces, over that of energies.
    """
    table = {(one.method, one.quantity, one.place): one for one in found}

    def of(quantity: str, place: str, text: Callable[[L], str]) -> Callable[[L], str]:
        def cell(one: L) -> str:
            mine = table.get((one.method, quantity, place))
            return MISSING if mine is None else text(mine)

        return cell

    shifted = dict.fromkeys(one.place for one in found if one.shifted)
    return [
        Column("method", lambda one: one.method),
        Column("accurate: RMSE, meV/atom", of(ENERGY, TEST, rmse)),
        Column("eV/Å", of(FORCES, TEST, rmse)),
        Column("precise: σ, meV/atom", of(ENERGY, TEST, sharp)),
        Column("z² in domain", of(ENERGY, TEST, robust)),
        *(Column(f"robust: {name}", of(ENERGY, name, robust)) for name in shifted),
        Column("cheap: fit, s", fit),
        Column("ms (× cheapest)", of(ENERGY, TEST, cost)),
        Column(
            "σ of forces, ×",
            of(FORCES, TEST, lambda one: forces(one) if one.scored else MISSING),
        ),
    ]
