import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import Committee
from tests.surrogates.small import SMALL


@pytest.mark.parametrize("by", ["subsample", "seed"])
def test_mean_and_variance_are_those_of_the_members(data, by):
    model = Committee(SMALL, n_members=3, diversity=by).fit(data[:9])
    found = model.predict(data[9:14], force_variance=True, member_forces=True)
    torch.testing.assert_close(found.members.mean(0), found.mean)
    torch.testing.assert_close(found.members.var(0), found.variance)
    torch.testing.assert_close(found.member_forces.mean(0), found.forces)
    torch.testing.assert_close(found.member_forces.var(0), found.force_variance)
    misfit = model.hyperparameters()["energy_error_eV_per_root_atom"]
    torch.testing.assert_close(found.noise_variance, torch.full((5,), 6 * misfit**2).double())


def test_members_that_saw_all_differ_from_those_that_did_not(data):
    a, b = (Committee(SMALL, n_members=3, diversity=by) for by in ("subsample", "seed"))
    first, second = a.fit(data[:9]), b.fit(data[:9])
    assert not torch.equal(first.predict(data[9]).mean, second.predict(data[9]).mean)


def test_one_structure_is_seen_by_all(data):
    found = Committee(SMALL, n_members=2).fit(data[0]).predict(data[:2])
    assert found.variance.isfinite().all()


def test_refusals():
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        Committee(n_members=1)
    with pytest.raises(InputError, match="`diversity` must be one of subsample, seed, got 'x'"):
        Committee(diversity="x")
