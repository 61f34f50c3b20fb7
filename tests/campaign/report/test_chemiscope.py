import gzip
import json

import pytest
import torch

from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.chemiscope import chemiscope_values, write_chemiscope
from bostruct.errors import InputError, LogError


def test_structures_and_energies_are_those_of_the_log(log):
    found = chemiscope_values(log)
    trials = log.trials()
    assert found["properties"]["energy (eV)"]["values"] == [t.energy for t in trials]
    assert found["properties"]["trial"]["values"] == list(range(8))
    for structure, trial in zip(found["structures"], trials, strict=True):
        assert (structure["size"], structure["names"]) == (3, ["Cu"] * 3)
        P = torch.tensor([structure[axis] for axis in "xyz"]).double().T
        torch.testing.assert_close(P, trial.structures.positions, atol=6e-4, rtol=0)
    for name, column in found["properties"].items():
        assert name
        assert column["target"] == "structure"
        assert len(column["values"]) == 8
        assert None not in column["values"]
    assert "σ (eV)" not in found["properties"]  # the first were random


def test_outcomes_and_cells(screened):
    found = chemiscope_values(screened)
    front = screened.pareto_front()
    known = {
        p.trial: p.raw_outcomes for p in front.evaluated if p.raw_outcomes["enthalpy"] is not None
    }
    numbers = found["properties"]["trial"]["values"]
    values = found["properties"]["enthalpy (eV/atom)"]["values"]
    assert values == [known[number]["enthalpy"] for number in numbers]
    assert all(len(structure["cell"]) == 9 for structure in found["structures"])


@pytest.mark.parametrize("name", ["map.json", "deep/map.json.gz"])
def test_files(log, tmp_path, name):
    assert write_chemiscope(log, tmp_path / name) == 8
    data = (tmp_path / name).read_bytes()
    found = json.loads(gzip.decompress(data) if name.endswith("gz") else data)
    assert set(found) == {"meta", "structures", "properties"}


def test_what_cannot_be_written_is_refused(log, folder, tmp_path):
    with pytest.raises(InputError, match="`out` must end in"):
        write_chemiscope(log, tmp_path / "map.xyz")
    with pytest.raises(LogError, match="no structure with a result"):
        write_chemiscope(Log(folder), tmp_path / "map.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="could not write"):
        write_chemiscope(log, tmp_path / "file" / "map.json")
