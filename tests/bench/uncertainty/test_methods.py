import sys

import pytest

from bostruct.bench.uncertainty.method_predictions import MethodPredictions, describe_method
from bostruct.bench.uncertainty.methods import METHODS, load_methods, variance_sources
from bostruct.campaign import campaign_file
from bostruct.errors import InputError
from bostruct.surrogates import LocalGP


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    path = tmp_path / "mine.py"
    path.write_text(
        "import bostruct\n"
        "from bostruct.surrogates import LocalGP\n"
        "short = LocalGP(cutoff=3.0)\n"
        "_hidden = LocalGP()\n"
    )
    yield path
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def test_all_where_none_is_named():
    found = load_methods([])
    assert list(found) == list(METHODS)
    assert found["LocalGP-sor"] == LocalGP(approximation="sor")
    assert found["LocalGP-fitc"] == LocalGP(approximation="fitc")


def test_every_method_says_what_its_variance_is():
    for name, one in METHODS.items():
        assert callable(one.make().fit), name
        assert one.source, name


def test_sources_are_those_of_the_methods_meant():
    gp = METHODS["LocalGP-sor"]
    mine = MethodPredictions("LocalGP-sor", describe_method(gp.make()), {})
    other = MethodPredictions("LocalGP-sor", describe_method(LocalGP(cutoff=3.0)), {})
    own = MethodPredictions("mine", describe_method(gp.make()), {})
    assert variance_sources([other, own, mine]) == [f"σ of LocalGP-sor: {gp.source}."]


def test_files_beside_names(mine):
    found = load_methods(["LocalGP-dtc", str(mine), "LocalGP-dtc"])
    dtc = LocalGP(approximation="dtc")
    assert found == {"LocalGP-dtc": dtc, "short": LocalGP(cutoff=3.0)}


def test_refuses_what_is_not_there(tmp_path, mine):
    with pytest.raises(InputError, match=r"`method` must be one of LocalGP-sor, .* 'GP'"):
        load_methods(["GP"])
    with pytest.raises(InputError, match="`file` must exist"):
        load_methods([str(tmp_path / "none.py")])
    mine.write_text("short = 3\n")
    with pytest.raises(InputError, match=r"`mine.py` must make an object with a `fit`"):
        load_methods([str(mine)])
    mine.write_text("1 / 0\n")
    with pytest.raises(InputError, match="the file of methods failed: ZeroDivision"):
        load_methods([str(mine)])
