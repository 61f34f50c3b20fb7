import pytest
from pymatgen.analysis.cost import CostAnalyzer, CostDBElements

from bostruct.errors import InputError
from bostruct.evaluators.alloys.prices import element_prices, price_per_kg


def test_prices_of_elements_are_those_of_the_table():
    assert element_prices()["Pd"] == 23036.01
    assert element_prices()["Ag"] == 780.88
    assert len(element_prices()) > 80


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")  # of all noble gases
@pytest.mark.parametrize(
    "composition", [{"Cu": 1}, {"Cu": 3, "Au": 1}, {"Ni": 0.2, "Al": 0.5, "Pt": 0.3}]
)
def test_alloys_cost_what_pymatgen_says(composition):
    theirs = CostAnalyzer(CostDBElements()).get_cost_per_kg(composition)
    assert price_per_kg(composition) == pytest.approx(theirs, rel=1e-4)


def test_fractions_count_as_counts_do():
    assert price_per_kg({"Cu": 0.75, "Au": 0.25}) == pytest.approx(price_per_kg({"Cu": 3, "Au": 1}))


def test_an_element_of_which_there_is_nothing_costs_nothing():
    assert price_per_kg({"Cu": 1, "Au": 0}) == price_per_kg({"Cu": 1})


@pytest.mark.parametrize(
    ("composition", "match"),
    [
        ({"Og": 1, "Cu": 1}, "elements with a reference price, got Og"),
        ({}, "must hold atoms"),
        ({"Cu": 0}, "must hold atoms"),
    ],
)
def test_elements_without_a_price_are_refused(composition, match):
    with pytest.raises(InputError, match=match):
        price_per_kg(composition)
