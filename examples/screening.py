"""A small screening: alloys of Cu, Pd and Au that are stiff, cheap and do not unmix.

Price is known from the composition, exactly and at no cost; bulk modulus and mixing enthalpy are
learned. The prediction of a structure before it was evaluated has an error bar, σ calibrated by
earlier predictions. EMT is a model landscape.

`bostruct front runs/screening --out front` writes all of it, with pictures.
"""

from ase.build import bulk
from ase.calculators.emt import EMT

import bostruct as bo

ELEMENTS = ["Cu", "Pd", "Au"]
PRICES = bo.evaluators.element_prices()

campaign = bo.Campaign(
    space=bo.spaces.Composition(
        ELEMENTS,
        step=1 / 8,
        parent=bulk("Cu", cubic=True).repeat((2, 1, 1)),
        price={element: PRICES[element] for element in ELEMENTS},
    ),
    evaluator=bo.evaluators.AlloyProperties(EMT),
    objectives=[
        bo.Objective("bulk_modulus_GPa", "maximize", unit="GPa"),
        bo.Objective("price", "minimize", unit="$/kg", log=True),
    ],
    constraints=[bo.Constraint("mixing_enthalpy_eV_per_atom", upper=0.0)],
    n_initial=6,
    stop=bo.stop.Evaluations(14),
)


def front_table(log: bo.campaign.Log) -> list[str]:
    """Return a line for each structure of the front: predicted and evaluated."""
    formulas = {t.number: t.structures.formulas()[0] for t in log.trials("done")}
    lines = ["formula    price, $/kg  modulus, GPa  predicted before"]
    for point in log.pareto_front().points:
        prediction = point.predictions.get("bulk_modulus_GPa")  # None for the random ones
        before = f"{prediction.mean:.1f} ± {prediction.calibrated_sigma:.1f}" if prediction else "-"
        lines.append(
            f"{formulas[point.trial]:<9}  {point.raw_outcomes['price']:11.0f}  "
            f"{point.raw_outcomes['bulk_modulus_GPa']:12.1f}  {before}"
        )
    return lines


if __name__ == "__main__":
    log = campaign.run("runs/screening", seed=0)
    print("\n".join(front_table(log)))
    print(f"hypervolume {log.pareto_front().hypervolume:.3f}")
