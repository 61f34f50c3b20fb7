"""Export of logged structures to files of any format that ASE writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bostruct.campaign.analysis.calibration import Expected
from bostruct.campaign.analysis.outcome_table import measured
from bostruct.campaign.analysis.pareto_front import Point
from bostruct.campaign.log.ase_rows import Rows
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import database
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, LogError, must
from bostruct.evaluators.alloys.convex_hull import ENTHALPY, HEIGHT, heights

if TYPE_CHECKING:
    from ase import Atoms

NEEDS_CELL = ("cif", "espresso-in", "lammps-data", "vasp", "vasp-xdatcar")


VACUUM = 7.5
"""Å around a cluster, in a format that cannot do without a cell."""


TAKEN = ("trial", "step", "origin", "front", "feasible", "volume", "mass", "charge")
"""Names that an outcome cannot have in a file: they say something else there."""


def export(images: Sequence[Atoms], file: Path) -> None:
    """Write structures to a file whose suffix says the format.

    Raises:
        InputError: ASE cannot write that format.
        LogError: the file cannot be written.
    """
    import ase.db
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    try:
        kind = ase.io.formats.filetype(str(file), read=False)
        known = ase.io.formats.ioformats[kind]
    except (UnknownFileTypeError, KeyError) as error:
        raise InputError(_unknown(file)) from error
    if not known.can_write:
        raise InputError(_unknown(file))
    if len(images) > 1 and known.single:
        condition = "be a format that holds many structures"
        way_out = "extxyz and db do; or export the best one alone."
        raise InputError(must("out", condition, file.name, way_out))
    if kind in NEEDS_CELL:
        images = [_boxed(image) for image in images]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "db":
            file.unlink(missing_ok=True)  # ASE would append
            with ase.db.connect(str(file)) as db:
                for image in images:
                    db.write(image, **image.info)
        else:
            ase.io.write(str(file), list(images), format=kind)
    except OSError as error:
        raise LogError(f"could not write {file}: {error.strerror or error}") from error


def _boxed(image: Atoms) -> Atoms:
    if image.cell.rank == 3:
        return image
    boxed = image.copy()
    boxed.calc = image.calc
    boxed.center(vacuum=VACUUM)
    return boxed


def _unknown(file: Path) -> str:
    way_out = "For example best.extxyz, best.cif, POSCAR or all.db."
    return must("out", "have a suffix of a format ASE writes", file.name, way_out)


def formulas(log: Log, numbers: Sequence[int]) -> dict[int, str]:
    """Return the formulas of evaluated structures by their trials, from ase.db."""
    found: dict[int, str] = {}
    if not numbers:
        return found
    with log.reading() as connection:
        rows = Rows(database(log.folder), connection)
        for number in numbers:
            query = "SELECT row FROM bostruct_trial WHERE number = ?"
            row = log.rows(query, number)[0]["row"]
            try:
                found[number] = rows.read(row).get_chemical_formula()
            except KeyError:  # the row is lost: `verify` says so
                continue
    return found


def above_hull(log: Log) -> dict[int, float]:
    """Return energies above the hull of all that was evaluated, eV/atom, by trial.

    Of a campaign with goals whose evaluations have a mixing enthalpy, as those of
    `AlloyProperties`; the elements are on the diagram at zero. Empty otherwise. What
    is in quarantine or was retracted is not there and shapes no hull.
    """
    if log.goals is None or HEIGHT in log.goals.names:
        return {}
    known: dict[int, float] = {}
    for trial in log.undecoded("done"):
        enthalpy = measured(trial, log.goals).get(ENTHALPY)
        if enthalpy is not None:
            known[trial.number] = enthalpy
    names = formulas(log, list(known))
    found = heights(list(names.values()), [known[number] for number in names])
    return {n: each for n, each in zip(names, found, strict=True) if each is not None}


def images(
    log: Log, every: bool = False, heights: Mapping[int, float] | None = None
) -> list[Atoms]:
    """Return the best structure of a log, or every one with an energy, from ase.db.

    Their `info` says which trial they were and, if they had been predicted, mean and σ
    (raw and calibrated) and the interval of 90 %, all in eV and from before the energy
    was known. Of a campaign with goals the front takes the place of the best, and
    `info` has the outcomes that are known and believed, by name, and the energy above
    the hull where there is one.

    Args:
        log: Of the campaign.
        every: Whether to return every structure with an energy.
        heights: Energies above the hull, `above_hull` of the log by default.

    Raises:
        LogError: there is none.
    """
    query = "SELECT number, row FROM bostruct_trial WHERE state = 'done' ORDER BY " + (
        "number" if every or log.goals else "energy, number LIMIT 1"
    )
    numbers = {row["number"]: row["row"] for row in log.rows(query)}
    if not numbers:
        raise LogError(f"{log.folder} has no energy yet: there is nothing to export.")
    trials = log.undecoded()
    infos: dict[int, dict[str, Any]]
    if log.goals is not None:
        front = log.front()
        points = front.evaluated if every else front.points
        infos = {each.trial: _told(each) for each in points if each.trial in numbers}
        if not infos:
            raise LogError(f"{log.folder} has nothing on its front: use --all.")
        heights = above_hull(log) if heights is None else heights
        for number, height in heights.items():
            if number in infos:
                infos[number][HEIGHT] = height
    else:
        expected = {each.trial: each.expected for each in log.foretold()}
        infos = {n: _info(trials[n], expected.get(n)) for n in numbers}
    found = []
    with log.reading() as connection:
        rows = Rows(database(log.folder), connection)
        for number, info in infos.items():
            image = rows.read(numbers[number])
            image.info |= info
            found.append(image)
    return found


def _told(point: Point) -> dict[str, Any]:
    """Return what a file says of a structure of a campaign with goals."""
    info = {"trial": point.trial, "step": point.step, "origin": point.origin}
    info |= {"front": point.best, "feasible": point.feasible}
    for name, value in point.raw.items():
        if value is not None:
            info[_key(name)] = value
    return info


def _key(name: str) -> str:
    """Return the name of an outcome as extxyz and ASE's databases can hold it."""
    import ase.db.core
    from ase.formula import Formula

    key = re.sub(r"\W", "_", name)
    if key in TAKEN or key in ase.db.core.reserved_keys or not key[0].isalpha():
        return f"outcome_{key}"
    try:
        Formula(key, strict=True)
    except ValueError:
        return key
    return f"outcome_{key}"  # ASE would look for these atoms


def _info(trial: Trial, expected: Expected | None) -> dict[str, Any]:
    """Return what a file says of a structure beside its energy and forces."""
    info = {"trial": trial.number, "step": trial.step, "origin": trial.origin}
    if expected is None:
        return info
    numbers = {
        "predicted_energy": expected.mean,
        "predicted_sigma": expected.sigma,
        "calibrated_sigma": expected.calibrated,
        "interval_low": expected.low,
        "interval_high": expected.high,
    }
    return info | {name: each for name, each in numbers.items() if each is not None}
