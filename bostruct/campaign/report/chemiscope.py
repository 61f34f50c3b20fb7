"""Export of a campaign for chemiscope, a viewer of maps of structures.

The file holds the evaluated structures, the two coordinates of the map of the report, and energies
or outcomes with what was predicted before. G. Fraux, R. K. Cersonsky, M. Ceriotti, J. Open Source
Softw. 5, 2117 (2020).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bostruct.campaign.log.malformed_log import reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.html.descriptor_map import DescriptorMap
from bostruct.campaign.report.html.methods_text import subject_text
from bostruct.campaign.report.html.report_trials import ReportTrial, read_report_trials
from bostruct.campaign.report.html.structure_viewer import decoded_trials, structure_values
from bostruct.errors import InputError, LogError, error_message
from bostruct.runtime.atomic_write import write_atomically
from bostruct.structures import Structures

SUFFIXES = (".json", ".json.gz")


def write_chemiscope(log: Log, out: Path) -> int:
    """Write a file for chemiscope and return the number of structures in it.

    Args:
        log: Log, opened with the space that decodes its structures.
        out: File to write, .json or .json.gz.

    Raises:
        InputError: the suffix is another one.
        LogError: there is no structure with a result, or the file cannot be written.
    """
    if not out.name.endswith(SUFFIXES):
        hint = "chemiscope reads these two."
        raise InputError(error_message("out", "end in .json or .json.gz", out.name, hint))
    values = chemiscope_values(log)
    data = json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"could not write {out}: {error.strerror or error}") from error
    write_atomically(out, gzip.compress(data, mtime=0) if out.name.endswith(".gz") else data)
    return len(values["structures"])


@reads_log
def chemiscope_values(log: Log) -> dict[str, Any]:
    """Return the contents of a file for chemiscope as JSON values.

    Properties that some structure does not have are left out, as predictions where the first
    structures were random.

    Args:
        log: Log, opened with the space that decodes its structures.

    Raises:
        LogError: there is no structure with a result.
    """
    report = read_report_trials(log)
    rows = {trial.number: trial for trial in report.trials if trial.value is not None}
    found = decoded_trials(log, rows)
    if not found:
        raise LogError(f"{log.folder} has no structure with a result: nothing to export.")
    decoded = [trial.structures for trial in found if trial.structures is not None]
    shown = [rows[trial.number] for trial in found]
    columns: dict[str, Sequence[object]] = {}
    batch = Structures.cat(decoded).without_results()
    place = DescriptorMap.from_structures(batch, [trial.number for trial in shown])
    if place is not None:
        for i, name in enumerate(("component 1", "component 2")):
            columns[name] = place.coordinates[:, i].tolist()
    columns[report.quantity] = [trial.value for trial in shown]
    for name in sorted({label for trial in shown for label in trial.outcomes}):
        columns[name] = [trial.outcomes.get(name) for trial in shown]
    columns |= _trial_columns(shown)
    return {
        "meta": {
            "name": subject_text(log.description),
            "description": f"bostruct campaign, {len(shown)} evaluated structures",
        },
        "structures": [_structure(structure_values(each)) for each in decoded],
        "properties": {
            name: {"target": "structure", "values": list(values)}
            for name, values in columns.items()
            if None not in values
        },
    }


def _trial_columns(trials: Sequence[ReportTrial]) -> dict[str, Sequence[object]]:
    return {
        "predicted (eV)": [trial.mean for trial in trials],
        "σ (eV)": [trial.sigma for trial in trials],
        "trial": [trial.number for trial in trials],
        "step": [trial.step for trial in trials],
        "generator": [trial.generator for trial in trials],
    }


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    symbols, positions = values["symbols"], values["positions"]
    structure: dict[str, Any] = {"size": len(symbols), "names": symbols}
    structure |= {axis: positions[i::3] for i, axis in enumerate("xyz")}
    return structure | ({"cell": values["cell"]} if all(values["periodic"]) else {})
