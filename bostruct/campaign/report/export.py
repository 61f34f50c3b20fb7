"""Export of logged structures to files of any format that ASE writes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.outcome_table import outcome_values
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint
from bostruct.campaign.energy_above_hull import SystemHull, energies_above_references
from bostruct.campaign.enthalpy import PRESSURE_ENERGY
from bostruct.campaign.log.ase_rows import AseRows, name_for_database
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.malformed_log import CONTENT_ERRORS, reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import database_path, is_campaign_database
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, LogError, error_message
from bostruct.evaluators.alloys.convex_hull import (
    ENERGY_ABOVE_HULL,
    MIXING_ENTHALPY,
    energies_above_hull,
)
from bostruct.spaces.crystals.crystal_summary import summarize_crystal
from bostruct.structures import from_ase

if TYPE_CHECKING:
    from ase import Atoms

FORMATS_WITH_CELL = ("cif", "espresso-in", "lammps-data", "vasp", "vasp-xdatcar")
"""Names in ASE of formats that need a cell."""

VACUUM = 7.5
"""Å around a cluster, in a format that needs a cell."""

RESERVED_KEYS = (
    "trial",
    "step",
    "generator",
    "name",
    "doubt",
    "front",
    "feasible",
    "volume",
    "mass",
    "charge",
)
"""Keys with a meaning of their own in a file, which no outcome can have."""


def write_structures(images: Sequence[Atoms], file: Path) -> None:
    """Write structures to a file whose suffix sets the format.

    Raises:
        InputError: ASE cannot write that format, or not these structures in it.
        LogError: the file cannot be written.
    """
    import ase.db
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    try:
        name = ase.io.formats.filetype(str(file), read=False)
        io_format = ase.io.formats.ioformats[name]
    except (UnknownFileTypeError, KeyError) as error:
        raise InputError(_unknown_format_message(file)) from error
    if not io_format.can_write:
        raise InputError(_unknown_format_message(file))
    if len(images) > 1 and io_format.single:
        condition = "be a format that holds many structures"
        hint = "extxyz and db do; or export the best one alone."
        raise InputError(error_message("out", condition, file.name, hint))
    if is_campaign_database(file):
        hint = "It holds the energies of a campaign; take another name."
        raise InputError(error_message("out", "be no log of a campaign", str(file), hint))
    if name in FORMATS_WITH_CELL:
        images = [_with_cell(image) for image in images]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == "db":
            file.unlink(missing_ok=True)  # ASE would append
            with ase.db.connect(str(file)) as db:
                for image in images:
                    db.write(image, **_database_keys(image))
        else:
            ase.io.write(str(file), list(images), format=name)
    except OSError as error:
        raise LogError(f"could not write {file}: {error.strerror or error}") from error
    except CONTENT_ERRORS as error:
        condition = "be a format that can hold these structures"
        reason = f"{type(error).__name__}: {error}"
        raise InputError(error_message("out", condition, file.name, reason)) from error


def _database_keys(image: Atoms) -> dict[str, Any]:
    keys = dict(image.info)
    return keys | {"name": name_for_database(keys["name"])} if "name" in keys else keys


def _with_cell(image: Atoms) -> Atoms:
    if image.cell.rank == 3:
        return image
    with_cell = image.copy()
    with_cell.calc = image.calc
    with_cell.center(vacuum=VACUUM)
    return with_cell


def _unknown_format_message(file: Path) -> str:
    hint = "For example best.extxyz, best.cif, POSCAR or all.db."
    return error_message("out", "have a suffix of a format ASE writes", file.name, hint)


@reads_log
def trial_formulas(log: Log, trial_numbers: Sequence[int]) -> dict[int, str]:
    """Return the chemical formulas of evaluated structures by trial, from ase.db."""
    formulas: dict[int, str] = {}
    if not trial_numbers:
        return formulas
    with log.connection() as connection:
        rows = AseRows(database_path(log.folder), connection)
        for number in trial_numbers:
            query = "SELECT ase_id FROM bostruct_trial WHERE number = ?"
            ase_id = log.query(query, number)[0]["ase_id"]
            try:
                formulas[number] = rows.read(ase_id).get_chemical_formula()
            except KeyError:  # the row was lost, which `verify` reports
                continue
    return formulas


@reads_log
def trial_energies_above_hull(log: Log) -> dict[int, float]:
    """Return the energies above the convex hull of all evaluated structures, eV/atom, by trial.

    They exist where compositions vary; of crystals with reference entries, above the hull of these;
    and in a campaign with objectives whose evaluations have a mixing enthalpy, as those of
    `AlloyProperties`, where the elements are on the diagram at zero. Otherwise the result is empty.
    Quarantined and retracted results are no part of the hull.
    """
    if log.references.entries and "members" not in log.description["space"]:
        return energies_above_references(_with_space(log))
    hull = _system_hull(log)
    if hull is not None:
        above = {trial.number: hull.energy_above(trial) for trial in log.trial_records()}
        return {number: e for number, e in above.items() if e < math.inf and hull.is_complete}
    if (
        log.optimization_config is None
        or ENERGY_ABOVE_HULL in log.optimization_config.outcome_names
    ):
        return {}
    enthalpies: dict[int, float] = {}
    for trial in log.trial_records("done"):
        enthalpy = outcome_values(trial, log.optimization_config).get(MIXING_ENTHALPY)
        if enthalpy is not None:
            enthalpies[trial.number] = enthalpy
    formulas = trial_formulas(log, list(enthalpies))
    energies = energies_above_hull(list(formulas.values()), [enthalpies[n] for n in formulas])
    return {n: e for n, e in zip(formulas, energies, strict=True) if e is not None}


@reads_log
def images_to_export(
    log: Log, include_all: bool = False, e_above_hull: Mapping[int, float] | None = None
) -> list[Atoms]:
    """Return the best structure of a log, or every one with an energy, from ase.db.

    Their `info` holds the trial and, if the structure had been predicted, mean, σ (of the model and
    calibrated) and 90 % interval from before the evaluation, in eV; of crystals whose cell varies
    the space group, and under a pressure the enthalpy. With objectives the front takes
    the place of the best structure, and `info` holds the trusted outcomes by name. Where
    compositions vary the stable phases do. The energy above the hull is there where it is known.

    Args:
        log: Log of the campaign.
        include_all: True for every structure with an energy, False for the best.
        e_above_hull: Energies above the hull by trial, `trial_energies_above_hull` by default.

    Raises:
        LogError: there is no such structure.
    """
    query = "SELECT number, ase_id FROM bostruct_trial WHERE state = 'done' ORDER BY number"
    numbers = {row["number"]: row["ase_id"] for row in log.query(query)}
    if not numbers:
        raise LogError(f"{log.folder} has no energy yet: there is nothing to export.")
    trials = log.trial_records()
    if e_above_hull is None:
        e_above_hull = trial_energies_above_hull(log)
    if not include_all and log.optimization_config is None:
        numbers = {number: numbers[number] for number in _best_numbers(log, trials, e_above_hull)}
    infos: dict[int, dict[str, Any]]
    if log.optimization_config is not None:
        front = log.pareto_front()
        points = front.evaluated if include_all else front.points
        infos = {p.trial: _point_info(p, trials[p.trial]) for p in points if p.trial in numbers}
        if not infos:
            raise LogError(f"{log.folder} has nothing on its front: use --all.")
    else:
        predictions = {logged.trial: logged.prediction for logged in log.predictions()}
        infos = {n: _trial_info(trials[n], predictions.get(n)) for n in numbers}
    for number, energy in e_above_hull.items():
        if number in infos:
            infos[number][ENERGY_ABOVE_HULL] = energy
    images = []
    with log.connection() as connection:
        rows = AseRows(database_path(log.folder), connection)
        for number, info in infos.items():
            image = rows.read(numbers[number])
            image.info |= info
            if is_of_variable_cell(log):
                found = summarize_crystal(from_ase(image))
                group = "layer_group" if found.is_layer else "space_group"
                image.info[group] = found.space_group
                image.info[f"{group}_number"] = found.space_group_number
            images.append(image)
    return images


def _best_numbers(
    log: Log, trials: Sequence[Trial], e_above_hull: Mapping[int, float]
) -> list[int]:
    """Return the number of the best trial, or those of the trials on the hull."""
    known = [(trial.enthalpy, trial.number) for trial in trials if trial.is_known]
    if not known:
        raise LogError(f"{log.folder}: every energy is doubted, see `bostruct show`.")
    if "members" not in log.description["space"] or not e_above_hull:
        return [min(known)[1]]
    nearest = min(e_above_hull, key=lambda n: (e_above_hull[n], n))
    return [n for n, e in e_above_hull.items() if e == 0] or [nearest]


def _system_hull(log: Log) -> SystemHull | None:
    """Return the hull of a log, opened with its space if need be; None without one."""
    space = log.description.get("space")
    if not (isinstance(space, Mapping) and "members" in space):
        return None
    return SystemHull.from_log(_with_space(log))


def _with_space(log: Log) -> Log:
    """Return a log with the space of its description, unless it has one."""
    return log if log.space is not None else open_log(log.folder)


def is_of_variable_cell(log: Log) -> bool:
    """Return whether the cell varies in the space that a log describes."""
    space = log.description.get("space")
    return isinstance(space, Mapping) and "pressure" in space


def _point_info(point: EvaluatedPoint, trial: Trial) -> dict[str, Any]:
    """Return the `info` of a structure of a campaign with objectives."""
    info = _trial_info(trial, None)
    info |= {"front": point.is_non_dominated, "feasible": point.is_feasible}
    for name, value in point.raw_outcomes.items():
        if value is not None:
            info[_info_key(name)] = value
    return info


def _info_key(name: str) -> str:
    """Return the name of an outcome as a key that extxyz and ase.db can hold."""
    import ase.db.core
    from ase.formula import Formula

    key = re.sub(r"\W", "_", name)
    if key in RESERVED_KEYS or key in ase.db.core.reserved_keys or not key[0].isalpha():
        return f"outcome_{key}"
    try:
        Formula(key, strict=True)
    except ValueError:
        return key
    return f"outcome_{key}"  # ASE would look for these atoms


def _trial_info(trial: Trial, prediction: CalibratedPrediction | None) -> dict[str, Any]:
    """Return the `info` of a structure: its trial and its prediction."""
    info: dict[str, Any] = {
        "trial": trial.number,
        "step": trial.step,
        "generator": trial.generator,
    }
    info |= {"name": trial.member} if trial.member else {}
    info |= {"doubt": trial.doubt} if trial.doubt else {}
    info |= {"enthalpy": trial.enthalpy} if PRESSURE_ENERGY in trial.properties else {}
    if prediction is None:
        return info
    numbers = {
        "predicted_energy": prediction.mean,
        "predicted_sigma": prediction.sigma,
        "calibrated_sigma": prediction.calibrated_sigma,
        "stated_energy": prediction.stated_mean,
        "stated_sigma": prediction.stated_sigma,
        "interval_low": prediction.low,
        "interval_high": prediction.high,
    }
    return info | {name: value for name, value in numbers.items() if value is not None}
