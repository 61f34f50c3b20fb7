import pytest

from bostruct.campaign.report import export
from bostruct.errors import InputError
from bostruct.structures import read


def test_listed_says_where_each_came_from(tmp_path, log):
    images = export.images_to_export(log, include_all=True)
    export.write_structures(images[:2], tmp_path / "a.extxyz")
    found = read.read_images([images[0], tmp_path / "a.extxyz"])
    file = tmp_path / "a.extxyz"
    places = ["index 0", f"index 0 of {file}", f"index 1 of {file}"]
    assert [place for place, _ in found] == places
    assert [place for place, _ in read.read_images(images[0])] == ["index 0"]
    assert len(read.read_images(str(file))) == 2
    assert len(read.read_images(log.structures())) == 8


def test_listed_refuses(tmp_path):
    (tmp_path / "a.extxyz").write_text("no structure\n")
    with pytest.raises(InputError, match=r"`start` must be a file that ASE can read, g"):
        read.read_images(tmp_path / "a.extxyz")
    with pytest.raises(InputError, match=r"got .*absent\.cif, which is no file"):
        read.read_images([tmp_path / "absent.cif"])
    with pytest.raises(InputError, match=r"a list of them, got int"):
        read.read_images(3)
    with pytest.raises(InputError, match=r"a list of them, got list"):
        read.read_images([[]])
