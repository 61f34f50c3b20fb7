from collections import Counter
from random import Random

import pytest
import spglib
import torch

from bostruct.errors import InputError
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.symmetric_sampling import (
    check_symmetry,
    sample_symmetric,
    species_counts,
    wyckoff_combinations,
)
from bostruct.spaces.crystals.wyckoff_positions import space_group
from bostruct.spaces.formula import parse_formula
from bostruct.structures.convert import suppress_spglib_warnings
from bostruct.testing import seeded_generator


def symmetry_of(F, H, numbers):
    cell = (H.numpy(), F.numpy(), numbers.numpy())
    with suppress_spglib_warnings():
        return spglib.get_symmetry_dataset(cell, symprec=1e-4)


def sample(formula, groups, n=4, t=1, seed=0):
    numbers = parse_formula(formula, 1)
    volumes = torch.full((n, t), 15.0 * len(numbers), dtype=torch.float64)
    freedom = CellFreedom.cube(15.0 * len(numbers))
    return numbers, *sample_symmetric(volumes, numbers, groups, freedom, seeded_generator(seed))


@pytest.mark.parametrize("number", [2, 5, 12, 15, 38, 62, 69, 92, 123, 136, 141, 148, 160, 166])
def test_crystals_have_at_least_the_symmetry_of_the_group(number):
    group = space_group(number)
    n_operations = group.positions[0].multiplicity
    numbers, F, H = sample(f"Ti{n_operations}O{n_operations}", [number])
    for f, cell in zip(F[:, 0], H[:, 0], strict=True):
        assert len(symmetry_of(f, cell, numbers).rotations) >= n_operations


def test_hexagonal_and_cubic_crystals_have_their_group():
    for number, formula in ((194, "Mg4O8"), (216, "Ga2As8"), (221, "SrTiO3"), (227, "Mg2Al4O8")):
        numbers, F, H = sample(formula, [number], n=8)
        datasets = [symmetry_of(*pair, numbers) for pair in zip(F[:, 0], H[:, 0], strict=True)]
        assert number in [dataset.number for dataset in datasets if dataset is not None]


@pytest.mark.parametrize("number", [2, 18, 37, 46, 61, 72, 80])
def test_layers_have_at_least_the_symmetry_of_the_group(number):
    n = space_group(number, is_layer=True).positions[0].multiplicity
    numbers = parse_formula(f"C{n}N{n}")
    freedom = CellFreedom.layer(area=6.0 * n, height=20.0, thickness=3.0)
    volumes = torch.full((4, 1), freedom.volume, dtype=torch.float64)
    F, H = sample_symmetric(volumes, numbers, [number], freedom, seeded_generator(0))
    torch.testing.assert_close(torch.linalg.det(H), volumes)
    assert bool(freedom.is_confined(F, 1e-9).all())
    for f, cell in zip(F[:, 0], H[:, 0], strict=True):
        lattice = (cell.tolist(), f.tolist(), numbers.tolist())
        with suppress_spglib_warnings():
            found = spglib.get_layergroup(lattice, aperiodic_dir=2, symprec=1e-4)
        assert len(found.rotations) >= n


def test_cells_have_the_volumes():
    _, F, H = sample("Ti2O4", range(2, 231), n=6, t=3)
    assert F.shape == (6, 3, 6, 3)
    torch.testing.assert_close(torch.linalg.det(H), torch.full((6, 3), 90.0).double())


def test_crystals_depend_on_the_generator_alone():
    first, again, other = (sample("Si8", range(2, 231), seed=k)[1] for k in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_combinations_are_equally_likely():
    """In P-1 one atom of each of two species stands on two of eight centers of inversion."""
    combinations = wyckoff_combinations(2, (1, 1))
    assert len(combinations) == 8 * 7
    random = Random(0)
    drawn = Counter(
        tuple((site.species, site.position.letter) for site in combinations.sample(random))
        for _ in range(56 * 40)
    )
    assert len(drawn) == 56
    spread = sum((count - 40) ** 2 / 40 for count in drawn.values())
    assert spread < 55 + 5 * (2 * 55) ** 0.5


def test_combinations_hold_all_atoms_and_no_fixed_site_twice():
    counts = species_counts(parse_formula("Mg4Al8O16"))
    random = Random(1)
    for number in (62, 166, 227):
        sites = wyckoff_combinations(number, counts).sample(random)
        held = Counter()
        for site in sites:
            held[site.species] += site.position.multiplicity
        assert [held[k] for k in range(3)] == list(counts)
        fixed = [site.position.letter for site in sites if site.position.is_fixed]
        assert len(fixed) == len(set(fixed))


def test_a_formula_that_fits_no_group_has_no_symmetry():
    numbers, F, _ = sample("SrTiO3", [230], n=2)
    assert len(wyckoff_combinations(230, species_counts(numbers))) == 0
    assert F.shape == (2, 1, 5, 3)


def test_symmetry_is_checked():
    numbers = parse_formula("Ti2O4")
    assert check_symmetry(136, numbers, "Ti2O4") == (136,)
    assert check_symmetry([136, 2, 136], numbers, "Ti2O4") == (2, 136)
    assert check_symmetry(None, numbers, "Ti2O4") is None
    for wrong in (0, 231, True, "P1", [136, 2.0], 136.0):
        with pytest.raises(InputError, match="`symmetry` must be numbers of space groups"):
            check_symmetry(wrong, numbers, "Ti2O4")
    with pytest.raises(InputError, match="must name a space group"):
        check_symmetry([], numbers, "Ti2O4")
    with pytest.raises(InputError, match="fit Ti2O4 in a primitive cell, got space group 230"):
        check_symmetry(230, numbers, "Ti2O4")
