from dataclasses import replace

import pytest
import torch

from bostruct.bench.performance import move_ablation
from bostruct.bench.performance.model_potentials import Gupta, Landscape, LennardJones
from bostruct.bench.performance.move_ablation import (
    BARE,
    FULL,
    Worth,
    ablate,
    generators,
    lowest,
    main,
    table,
)
from bostruct.candidates import Search
from bostruct.errors import InputError
from bostruct.spaces import Cluster

QUICK = Search(candidates=6, rounds=2, patience=2, steps=15)
SMALL = {
    "lj7": Landscape(lambda: Cluster("Ar7", radii={"Ar": 0.56}), LennardJones),
    "au2cu3": Landscape(lambda: Cluster("Au2Cu3"), Gupta),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(move_ablation, "LANDSCAPES", SMALL)
    monkeypatch.setattr(move_ablation, "SEARCH", QUICK)


def test_runs_are_what_they_are_alone():
    """Relaxed together or not: a seed gives the same run."""
    both = lowest(SMALL["lj7"], QUICK, 2)
    assert both.shape == (2, 2)
    torch.testing.assert_close(lowest(SMALL["lj7"], QUICK, 1), both[:1])
    assert (both[:, 1] <= both[:, 0]).all()
    assert (both > -16.505385).all()
    assert not torch.equal(both[0], both[1])


def test_finds_the_lowest_energy():
    thorough = Search(candidates=12, rounds=4, patience=4)
    found = lowest(SMALL["lj7"], thorough, 2)
    assert found[:, -1].tolist() == pytest.approx([-16.505384] * 2, abs=1e-3)


def test_leaves_out_one_after_the_other():
    found = ablate(["lj7", "au2cu3"], 2, QUICK)
    names = {
        one: [worth.name for worth in found if worth.landscape == one] for one in SMALL
    }
    each = ["random", "symmetric", "rattle", "relocate", "splice", "twist"]
    assert names["lj7"] == [FULL, *each]
    assert names["au2cu3"] == [FULL, *each[:2], "permute", *each[2:]]
    for worth in found:
        assert len(worth.losses) == worth.runs == 2
        assert 0 <= worth.solved <= 2
        if worth.name == FULL:
            assert worth.losses == (0.0, 0.0)
    assert any(any(worth.losses) for worth in found)
    for one in SMALL:
        assert any(worth.solved for worth in found if worth.landscape == one)


def test_leaves_out_what_is_asked_for():
    found = ablate(["lj7", "au2cu3"], 1, QUICK, chosen=["permute"])
    assert [(worth.landscape, worth.name) for worth in found] == [
        ("lj7", FULL),
        ("au2cu3", FULL),
        ("au2cu3", "permute"),
    ]


def test_adds_one_after_the_other():
    others = ("symmetric", "relocate", "splice")
    short = replace(QUICK, steps=3)
    bare = lowest(SMALL["lj7"], replace(short, without=(*others, "twist")), 2)
    twist = lowest(SMALL["lj7"], replace(short, without=others), 2)
    assert not torch.equal(bare, twist)
    expected = move_ablation.worths("lj7", {BARE: bare, "twist": twist})
    assert ablate(["lj7"], 2, short, ["twist"], added=True) == expected
    found = ablate(["lj7"], 1, short, added=True)
    assert [worth.name for worth in found] == [BARE, *others, "twist"]


def test_the_table_says_what_was_done():
    assert table([Worth(BARE, "lj7", 0, 1, (0.0,))]).columns[0].header == "with"
    assert table([Worth(FULL, "lj7", 0, 1, (0.0,))]).columns[0].header == "without"


def test_the_last_of_its_kind_stays():
    search = Search(without=("symmetric", "rattle", "relocate", "splice"))
    assert generators(SMALL["lj7"], search) == []
    search = Search(without=("random", "rattle", "relocate"))
    assert generators(SMALL["lj7"], search) == ["splice", "twist"]


def test_losses_are_doublings_of_the_shortfall():
    curves = {
        FULL: torch.tensor([[-1.0, -2.0], [-1.98, -2.0]]).double(),
        "twist": torch.tensor([[-1.92, -1.96], [-2.0, -2.0]]).double(),
    }
    full, twist = move_ablation.worths("here", curves)
    assert full == Worth(FULL, "here", 2, 2, (0.0, 0.0))
    assert (twist.solved, twist.runs) == (1, 2)
    first = (3.0 + 2.0 - torch.tensor(100.0).log2().item()) / 2
    assert twist.losses == pytest.approx((first, -0.5), abs=1e-5)


def test_the_table_has_a_line_for_each(capsys):
    main(["lj7", "au2cu3", "--seeds", "1", "--only", "permute", "--only", "twist"])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines[3:-1]]
    assert [row[0] for row in rows] == [FULL, "twist", "permute"]
    assert rows[0][1] == ""
    assert "±" in rows[1][1]
    assert rows[2][2] == ""
    assert "±" not in rows[2][1]
    assert rows[2][3].endswith("/1")


def test_the_mean_has_its_standard_error():
    found = [Worth("twist", "lj7", 0, 4, (1.0, 2.0, 3.0, 4.0))]
    (cell,) = table(found).columns[1].cells
    assert cell == "+2.50 ± 0.65"


@pytest.mark.parametrize(
    ("names", "chosen", "match"),
    [
        (["lj8"], (), "`names` must be among lj7, au2cu3, got 'lj8'"),
        (["lj7"], ["permute"], "`chosen` must be among random, symm.*got 'permute'"),
    ],
)
def test_refuses(names, chosen, match):
    with pytest.raises(InputError, match=match):
        ablate(names, 1, QUICK, chosen)


def test_refuses_no_seeds():
    with pytest.raises(InputError, match="`seeds` must be an integer of at least 1"):
        main(["lj7", "--seeds", "0"])
