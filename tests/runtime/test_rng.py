import torch

from bostruct.runtime.rng import derive_seed, generator_for, seeded_global_rng

CPU = torch.device("cpu")


def test_a_generator_depends_on_seed_and_purpose_alone():
    draws = {
        tuple(torch.rand(2, generator=generator_for(*purpose)).tolist())
        for purpose in [(0,), (1,), (0, 1), (0, "1"), (0, "a", "b"), (0, "ab"), (0, 1)]
    }
    assert len(draws) == 6


def test_seeds_do_not_change_between_versions():
    """A log of another version goes on only if its random numbers are the same."""
    assert derive_seed(0, 3, "search") == 7344407624918690423
    assert derive_seed(7, "probe", bits=31) == 89089016


def test_seeded_global_rng_is_restored():
    before = torch.get_rng_state()
    with seeded_global_rng(CPU, 0, 1, "global"):
        first = torch.rand(3)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    with seeded_global_rng(CPU, 0, 1, "global"):
        assert torch.equal(first, torch.rand(3))
