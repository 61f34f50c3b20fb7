"""Names of files: what a name means, and that no other file is read in its place."""

import gzip
import os
import shutil

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db import connect

import bostruct as bo
from bostruct.errors import InputError
from bostruct.structures.structure_file import read_structure_file

FRAMES = [Atoms("Cu", [[k, 0, 0]]) for k in range(4)]
OTHER = [Atoms("Au", [[k, 0, 0]]) for k in range(2)]


def write(path, frames=FRAMES, file_format="extxyz"):
    ase.io.write(str(path.parent / "written"), frames, format=file_format)
    shutil.move(path.parent / "written", path)
    return path


def symbols_and_places(name, argument="source"):
    return [
        (str(atoms.symbols), int(atoms.positions[0, 0]))
        for _, atoms in read_structure_file(argument, name)
    ]


COPPER = [("Cu", k) for k in range(4)]
GOLD = [("Au", k) for k in range(2)]

NAMES = [
    "cu@300K.xyz",
    "cu@300K@1.xyz",
    "@.xyz",
    "@0.extxyz",
    "data.xyz@0:1",
    "data.xyz@",
    "data@0:1",
    "two words.xyz",
    " lead.xyz",
    "Kupfer_\u00fc\u4e2d.xyz",
    "UPPER.XYZ",
    "[1].xyz",
    "a*?.xyz",
    "postgres_run.xyz",
    "mysql.xyz",
    "-",
    "-a.xyz",
    "~",
    "~.xyz",
    "a:b=c,d.xyz",
    "no_suffix",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_by_its_own_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for decoy in {name.split("@")[0], "a1.xyz", "1.xyz", "300K.xyz"} - {name, ""}:
        write(tmp_path / decoy, OTHER)
    write(tmp_path / name)
    assert symbols_and_places(name) == COPPER
    assert symbols_and_places(tmp_path / name) == COPPER
    assert len(bo.spaces.Pool(name, assume_distinct=True).names) == 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data.xyz@0", COPPER[:1]),
        ("data.xyz@-1", COPPER[3:]),
        ("data.xyz@1:3", COPPER[1:3]),
        ("data.xyz@::2", COPPER[::2]),
        ("data.xyz@:", COPPER),
        ("data.xyz@", COPPER),
        ("cu@300K.xyz@1", GOLD[1:]),
    ],
)
def test_structures_are_selected_after_the_name_of_a_file(name, expected, tmp_path):
    write(tmp_path / "data.xyz")
    write(tmp_path / "cu@300K.xyz", OTHER)
    assert symbols_and_places(tmp_path / name) == expected


def test_the_home_folder_is_meant_where_no_file_is_called_so(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    write(home / "runs" / "a.xyz")
    assert symbols_and_places("~/runs/a.xyz") == COPPER
    assert symbols_and_places("~/runs/a.xyz@2") == COPPER[2:3]
    (tmp_path / "~" / "runs").mkdir(parents=True)
    write(tmp_path / "~" / "runs" / "a.xyz", OTHER)
    assert symbols_and_places("~/runs/a.xyz") == GOLD


def test_compressed_files_are_read(tmp_path):
    write(tmp_path / "a.xyz")
    packed = tmp_path / "b@2.xyz.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.xyz").read_bytes()))
    assert symbols_and_places(packed) == COPPER
    assert symbols_and_places(f"{packed}@1") == COPPER[1:2]


@pytest.mark.parametrize("name", ["a.db", "a.DB", "a", "a@1.db"])
def test_databases_are_known_by_their_content(name, tmp_path):
    with connect(tmp_path / "made.db") as database:
        for k, atoms in enumerate(FRAMES):
            database.write(atoms, name=f"mp:{k}", k=k)
    path = shutil.move(tmp_path / "made.db", tmp_path / name)
    assert symbols_and_places(path) == COPPER
    assert [found for found, _ in read_structure_file("source", path)] == [
        f"mp:{k}" for k in range(4)
    ]
    assert symbols_and_places(f"{path}@1:3") == COPPER[1:3]
    assert symbols_and_places(f"{path}@-1") == COPPER[3:]
    assert symbols_and_places(f"{path}@k>1") == COPPER[2:]
    assert symbols_and_places(f"{path}@name=mp:3") == COPPER[3:]
    with pytest.raises(
        InputError, match=r"must hold at least one structure, got none in .* at k>9"
    ):
        symbols_and_places(f"{path}@k>9")
    assert len(bo.spaces.Pool(path, assume_distinct=True).names) == 4


def refused(name, match, argument="source"):
    with pytest.raises(InputError, match=match):
        symbols_and_places(name, argument)


def test_refuses_with_the_names_that_were_tried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(
        "a.xyz", r"`source` must be a file of .*, got a.xyz, which is no file. The working fold"
    )
    refused("a.xyz@0:3", "got a.xyz@0:3 or a.xyz, which is no file")
    refused("x/@home", "got x/@home, which is no file")
    refused("~/a.xyz", "got ~/a.xyz, which is no file")
    refused("a\0.xyz", "which is no file")
    refused("a" * 5000, "which is no file")
    refused("-", "got -, which is no file")
    refused("*.xyz", r"got \*.xyz, which is no file")
    write(tmp_path / "a.xyz")
    refused(
        "a.xyz@best", r"index or a slice of structures after the @, got 'best' .*Try a.xyz@0:10"
    )
    refused("a.xyz@1:x", r"index or a slice of structures after the @, got '1:x'")
    refused("a.xyz@9", r"hold at least one structure, got none in .*a.xyz at 9\.")
    assert len(symbols_and_places("a.xyz@0:10")) == 4


def test_a_folder_is_no_file(tmp_path):
    refused(tmp_path, "which is a folder. Give a file in it")
    (tmp_path / "campaign.db").touch()
    refused(tmp_path, rf"which is a folder. Give {tmp_path}{os.sep}campaign.db\.")


def test_empty_files_hold_no_structure(tmp_path):
    for name in ("a.xyz", "a.cif", "a", "a.traj", "a.db", "a.xyz.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
        refused(tmp_path / name, "must (be a file of structures|hold at least one structure)")


def test_an_address_of_a_server_says_how_to_read_it():
    match = r"got postgresql://me@host/db, the address of a server. Give \[row.toatoms"
    refused("postgresql://me@host/db", match)


def test_every_reader_of_paths_reads_the_file_of_that_name(tmp_path, monkeypatch):
    """Pool, slab and initial structures: `data@0:1` once read the file `data`."""
    monkeypatch.chdir(tmp_path)
    slab = bulk("Cu", cubic=True).repeat((3, 3, 2))
    slab.center(vacuum=10, axis=2)
    write(tmp_path / "slab.xyz@0:1", slab)
    write(tmp_path / "slab.xyz", OTHER)
    assert bo.spaces.Surface("slab.xyz@0:1", "Au").slab.formulas() == ["Cu72"]
    cluster = Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [1.2, 2.2, 0]])
    write(tmp_path / "start@300K.xyz", cluster)
    campaign = bo.Campaign(
        space=bo.spaces.Cluster("Cu3"),
        evaluator=bo.evaluators.Function(lambda atoms: 0.0),
        initial_structures="start@300K.xyz",
    )
    assert campaign.components.initial_data.n_energies == 1
    with pytest.raises(
        InputError, match=r"`initial_structures` must be a file of .* got start@3 or"
    ):
        bo.Campaign(
            space=bo.spaces.Cluster("Cu3"),
            evaluator=bo.evaluators.Function(lambda atoms: 0.0),
            initial_structures="start@3",
        )
