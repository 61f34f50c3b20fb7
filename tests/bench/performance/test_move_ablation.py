from dataclasses import replace

import pytest
import torch

from bostruct.bench.performance import move_ablation
from bostruct.bench.performance.model_potentials import Gupta, Landscape, LennardJones
from bostruct.bench.performance.move_ablation import (
    ALL_GENERATORS,
    SIMPLE_GENERATORS,
    AblationResult,
    ablate,
    ablation_table,
    best_energy_history,
    main,
    removable_generators,
)
from bostruct.candidates import BasinHopping
from bostruct.errors import InputError
from bostruct.spaces import Cluster

QUICK = BasinHopping(n_candidates=6, n_rounds=2, patience=2, max_steps=15)
SMALL = {
    "lj7": Landscape(lambda: Cluster("Ar7", atomic_radii={"Ar": 0.56}), LennardJones),
    "au2cu3": Landscape(lambda: Cluster("Au2Cu3"), Gupta),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(move_ablation, "LANDSCAPES", SMALL)
    monkeypatch.setattr(move_ablation, "ABLATION_SEARCH", QUICK)


def test_runs_are_what_they_are_alone():
    """Relaxed together or not: a seed gives the same run."""
    both = best_energy_history(SMALL["lj7"], QUICK, 2)
    assert both.shape == (2, 2)
    torch.testing.assert_close(best_energy_history(SMALL["lj7"], QUICK, 1), both[:1])
    assert (both[:, 1] <= both[:, 0]).all()
    assert (both > -16.505385).all()
    assert not torch.equal(both[0], both[1])


def test_finds_the_lowest_energy():
    thorough = BasinHopping(n_candidates=12, n_rounds=4, patience=4)
    found = best_energy_history(SMALL["lj7"], thorough, 2)
    assert found[:, -1].tolist() == pytest.approx([-16.505384] * 2, abs=1e-3)


@pytest.mark.slow
def test_leaves_out_one_after_the_other():
    found = ablate(["lj7", "au2cu3"], 2, QUICK)
    names = {one: [worth.generator for worth in found if worth.landscape == one] for one in SMALL}
    each = ["random", "symmetric", "rattle", "relocate", "splice", "twist"]
    assert names["lj7"] == [ALL_GENERATORS, *each]
    assert names["au2cu3"] == [ALL_GENERATORS, *each[:2], "permute", *each[2:]]
    for worth in found:
        assert len(worth.losses) == worth.n_runs == 2
        assert 0 <= worth.n_solved <= 2
        if worth.generator == ALL_GENERATORS:
            assert worth.losses == (0.0, 0.0)
    assert any(any(worth.losses) for worth in found)
    for one in SMALL:
        assert any(worth.n_solved for worth in found if worth.landscape == one)


def test_leaves_out_what_is_asked_for():
    found = ablate(["lj7", "au2cu3"], 1, QUICK, generator_names=["permute"])
    assert [(worth.landscape, worth.generator) for worth in found] == [
        ("lj7", ALL_GENERATORS),
        ("au2cu3", ALL_GENERATORS),
        ("au2cu3", "permute"),
    ]


def test_adds_one_after_the_other():
    others = ("symmetric", "relocate", "splice")
    short = replace(QUICK, max_steps=3)
    bare = best_energy_history(SMALL["lj7"], replace(short, exclude=(*others, "twist")), 2)
    twist = best_energy_history(SMALL["lj7"], replace(short, exclude=others), 2)
    assert not torch.equal(bare, twist)
    expected = move_ablation.ablation_results("lj7", {SIMPLE_GENERATORS: bare, "twist": twist})
    assert ablate(["lj7"], 2, short, ["twist"], add_to_simple=True) == expected
    found = ablate(["lj7"], 1, short, add_to_simple=True)
    assert [worth.generator for worth in found] == [SIMPLE_GENERATORS, *others, "twist"]


def test_the_table_says_what_was_done():
    assert (
        ablation_table([AblationResult(SIMPLE_GENERATORS, "lj7", 0, 1, (0.0,))]).columns[0].header
        == "with"
    )
    assert (
        ablation_table([AblationResult(ALL_GENERATORS, "lj7", 0, 1, (0.0,))]).columns[0].header
        == "without"
    )


def test_the_last_of_its_kind_stays():
    search = BasinHopping(exclude=("symmetric", "rattle", "relocate", "splice"))
    assert removable_generators(SMALL["lj7"], search) == []
    search = BasinHopping(exclude=("random", "rattle", "relocate"))
    assert removable_generators(SMALL["lj7"], search) == ["splice", "twist"]


def test_losses_are_doublings_of_the_shortfall():
    curves = {
        ALL_GENERATORS: torch.tensor([[-1.0, -2.0], [-1.98, -2.0]]).double(),
        "twist": torch.tensor([[-1.92, -1.96], [-2.0, -2.0]]).double(),
    }
    full, twist = move_ablation.ablation_results("here", curves)
    assert full == AblationResult(ALL_GENERATORS, "here", 2, 2, (0.0, 0.0))
    assert (twist.n_solved, twist.n_runs) == (1, 2)
    first = (3.0 + 2.0 - torch.tensor(100.0).log2().item()) / 2
    assert twist.losses == pytest.approx((first, -0.5), abs=1e-5)


def test_the_table_has_a_line_for_each(capsys):
    main(["lj7", "au2cu3", "--seeds", "1", "--only", "permute", "--only", "twist"])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines[3:-1]]
    assert [row[0] for row in rows] == [ALL_GENERATORS, "twist", "permute"]
    assert rows[0][1] == ""
    assert "±" in rows[1][1]
    assert rows[2][2] == ""
    assert "±" not in rows[2][1]
    assert rows[2][3].endswith("/1")


def test_the_mean_has_its_standard_error():
    found = [AblationResult("twist", "lj7", 0, 4, (1.0, 2.0, 3.0, 4.0))]
    (cell,) = ablation_table(found).columns[1].cells
    assert cell == "+2.50 ± 0.65"


@pytest.mark.parametrize(
    ("names", "chosen", "match"),
    [
        (["lj8"], (), "`landscape_names` must be one of lj7, au2cu3, got 'lj8'"),
        (["lj7"], ["permute"], "`generator_names` must be one of random, symm.*got 'permute'"),
    ],
)
def test_refuses(names, chosen, match):
    with pytest.raises(InputError, match=match):
        ablate(names, 1, QUICK, chosen)


def test_refuses_no_seeds():
    with pytest.raises(InputError, match="`seeds` must be an integer of at least 1"):
        main(["lj7", "--seeds", "0"])
