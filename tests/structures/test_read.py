import pytest

from bostruct.campaign.report import export
from bostruct.errors import InputError
from bostruct.structures import read


def test_listed_says_where_each_came_from(tmp_path, log):
    images = export.images(log, every=True)
    export.export(images[:2], tmp_path / "a.extxyz")
    found = read.listed([images[0], tmp_path / "a.extxyz"])
    file = tmp_path / "a.extxyz"
    places = ["index 0", f"index 0 of {file}", f"index 1 of {file}"]
    assert [place for place, _ in found] == places
    assert [place for place, _ in read.listed(images[0])] == ["index 0"]
    assert len(read.listed(str(file))) == 2
    assert len(read.listed(log.structures())) == 8


def test_listed_refuses(tmp_path):
    (tmp_path / "a.extxyz").write_text("no structure\n")
    with pytest.raises(
        InputError, match=r"`start` must be a file that ASE can read, g"
    ):
        read.listed(tmp_path / "a.extxyz")
    with pytest.raises(InputError, match=r"got .*absent\.cif, which is no file"):
        read.listed([tmp_path / "absent.cif"])
    with pytest.raises(InputError, match=r"a list of them, got int"):
        read.listed(3)
    with pytest.raises(InputError, match=r"a list of them, got list"):
        read.listed([[]])
