import ase.io
import pytest
from ase.build import molecule

from bostruct.errors import InputError
from bostruct.structures import from_ase, read


def test_every_image_is_labelled_by_its_origin(tmp_path):
    images = [molecule(name) for name in ("H2O", "CO", "CH4")]
    file = tmp_path / "a.extxyz"
    ase.io.write(file, images[:2])
    labels = ["index 0", f"index 0 of {file}", f"index 1 of {file}"]
    assert [label for label, _ in read.read_images([images[0], file])] == labels
    assert [label for label, _ in read.read_images(images[0])] == ["index 0"]
    assert len(read.read_images(str(file))) == 2
    assert len(read.read_images(from_ase(images))) == 3


def test_read_images_refuses(tmp_path):
    (tmp_path / "a.extxyz").write_text("no structure\n")
    with pytest.raises(
        InputError, match=r"`initial_structures` must be a file of structures that ASE can read, g"
    ):
        read.read_images(tmp_path / "a.extxyz")
    with pytest.raises(InputError, match=r"got .*absent\.cif, which is no file"):
        read.read_images([tmp_path / "absent.cif"])
    with pytest.raises(InputError, match=r"a list of them, got int"):
        read.read_images(3)
    with pytest.raises(InputError, match=r"a list of them, got list"):
        read.read_images([[]])
