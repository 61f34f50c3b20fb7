"""Log formats 1 to 4 under the names of the present format, for reading.

Views in SQLite's temporary schema give the stored tables their present column names and values. The
stored rows, over which the checksums were computed, remain readable as `main.bostruct_trial` and so
on. Descriptions, relaxation reports and the contents of posterior files are renamed when loaded;
format 4 has the present names and lacks some columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bostruct.campaign.log.run_folder import database_path
from bostruct.campaign.log.schema import ADDED_COLUMNS
from bostruct.errors import LogError

RENAMED_FORMAT = 4
"""First format with the present names; earlier ones are not written."""


def _renames(text: str) -> dict[str, str]:
    """Return present names by stored ones, from pairs "stored=present"."""
    return dict(pair.split("=") for pair in text.split())


_VARIANCES = _renames("variance=latent_variance observed=predictive_variance")

COLUMNS = {
    "bostruct_session": _renames("checked=relaxations"),
    "bostruct_step": _renames("known=training_trials level=effort"),
    "bostruct_trial": _renames("origin=generator candidate=candidate_index row=ase_id")
    | _VARIANCES,
    "bostruct_outcome": _renames("place=position exact=is_exact") | _VARIANCES,
    "bostruct_posterior": {},
}
"""Stored and present column names by table; columns of other names have kept them."""

VALUES = {
    "kind": _renames("given=initial_data start=initial_structures check=relaxation"),
    "origin": _renames("start=initial_structures check=relaxation"),
}
"""Stored and present values by stored column, of steps and of trials."""

RELAXATION_REPORT_KEYS = _renames("evaluations=n_evaluations relaxed=relaxed_trial force=max_force")

TENSORS = {
    "known": "training_trials",
    "probe.variance": "probe.latent_variance",
    **{f"candidates.{name}": f"candidates.{new}" for name, new in _VARIANCES.items()},
}
"""Stored and present names of tensors in posterior files."""

_REGION = _renames("radii=atomic_radii minimum_distance=min_distance gap=max_gap_factor")
_POOL = _renames("distinct=assume_distinct structures=n_structures")
_COMPOSITION = _renames(
    "allowed=allowed_steps arrangement=decoration components=n_components "
    "continuous=is_continuous whole=n_steps"
)
_ALLOY_PROPERTIES = _renames(
    "windows=valid_ranges error=max_relative_error overlap=min_distance_factor force=fmax "
    "steps=max_steps"
)
_ACQUISITIONS = (
    *("ExpectedHypervolumeImprovement", "ExpectedImprovement", "LogExpectedImprovement"),
    *("LogProbabilityOfImprovement", "LowerConfidenceBound", "ProbabilityOfImprovement"),
    *("StandardDeviation", "qExpectedImprovement", "qLogExpectedHypervolumeImprovement"),
    *("qLogExpectedImprovement", "qLogNParEGO", "qLogNoisyExpectedHypervolumeImprovement"),
    *("qLogNoisyExpectedImprovement", "qLogProbabilityOfFeasibility", "qLowerConfidenceBound"),
    *("qNoisyExpectedImprovement", "qStandardDeviation"),
)
_SAMPLES = _renames("samples=n_samples")
_SEARCH = _renames(
    "candidates=n_candidates fresh=random_fraction gain=min_improvement parents=n_parents "
    "rounds=n_rounds share=max_time_fraction"
)
_BASIN_HOPPING = _SEARCH | _renames("step=max_step steps=max_steps tolerance=fmax without=exclude")
_EVOLUTIONARY_SEARCH = _SEARCH | _renames("climbs=n_local_searches near=max_neighbors")
_SOAP = _renames("radial=n_max angular=l_max center=center_atom_weight")
_LOCAL_GP = _SOAP | _renames(
    "alchemy=species_similarity inducing=max_inducing power=zeta repulsion=pair_repulsion "
    "tolerance=inducing_tolerance variance=approximation"
)
_MEAN_SOAP = _SOAP | _renames("inducing=max_inducing power=zeta")
_MEMBERS = _renames("members=n_members")
_EXPERTS = _renames("axes=n_axes experts=n_experts share=min_weight")
_PRETRAINED = _renames("aligned=shift_species_energies reader=read_uncertainty")

APPROXIMATIONS = _renames("pooled=averaged_fitc")
"""Stored and present names of the approximations of `LocalGP`."""

TYPES: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "kind": {
        "cluster": ("Cluster", _REGION),
        "surface": ("Surface", _REGION),
        "lattice": ("Lattice", _renames("code=encoding")),
        "orderings": ("Orderings", _renames("atoms=max_atoms") | _POOL),
        "pool": ("Pool", _POOL),
        "composition": ("Composition", _COMPOSITION),
        "Calculator": ("Calculator", {}),
        "Function": ("Function", {}),
        "AlloyProperties": ("AlloyProperties", _ALLOY_PROPERTIES),
        "EntryProbability": ("ParetoProbabilityOfImprovement", _renames("gain=ehvi_weight")),
        "qProbabilityOfImprovement": (
            "qProbabilityOfImprovement",
            _SAMPLES | _renames("width=tau"),
        ),
        **{name: (name, _SAMPLES) for name in _ACQUISITIONS},
    },
    "search": {
        "basin hopping": ("BasinHopping", _BASIN_HOPPING),
        "walk": ("EvolutionarySearch", _EVOLUTIONARY_SEARCH),
        "pick": ("ExhaustiveSearch", _renames("chunk=chunk_size keep=n_keep")),
    },
    "surrogate": {
        "LocalGP": ("LocalGP", _LOCAL_GP),
        "Committee": ("Committee", _MEMBERS | _renames("by=diversity")),
        "DeepEnsemble": ("DeepEnsemble", _MEMBERS),
        "Dropout": ("Dropout", _MEMBERS | _renames("rate=dropout_rate")),
        "LastLayer": ("LastLayer", _MEMBERS | _renames("inputs=n_inputs")),
        "MeanVariance": ("MeanVariance", {}),
        "Mixture": ("MixtureOfExperts", _EXPERTS),
        "ShallowEnsemble": ("ShallowEnsemble", _MEMBERS),
        "Pretrained": ("PretrainedPotential", _PRETRAINED),
        "Properties": ("IndependentProperties", _renames("of=overrides")),
        "Correlated": ("MultitaskGP", _renames("learner=gp")),
    },
    "learner": {
        "GP": ("GP", _renames("widen=loo_correction")),
        "PerAtom": ("IntensiveProperty", {}),
    },
    "features": {
        "averaged": ("MeanSOAP", _MEAN_SOAP),
        "clusters": ("ClusterVectors", {}),
        "fractions": ("ElementFractions", {}),
    },
}
"""Present class and arguments, by the key and the name under which a class was stored.

Classes of the user are not here: their descriptions stay as they were stored.
"""

_BOUNDS = _renames("above=lower below=upper window=valid_range")

PARTS = {
    "check": _renames("best=n_structures tolerance=fmax steps=max_steps every=interval"),
    "start": _renames("given=n_with_energy evaluated=n_without_energy"),
    "objectives": _BOUNDS,
    "constraints": _BOUNDS,
    "network": _SOAP
    | _renames(
        "repulsion=pair_repulsion batch=batch_size rate=learning_rate components=n_components "
        "steps=n_steps"
    ),
    "repulsion": _renames("reach=range_factor"),
    "": _renames(
        "batch=batch_size initial=n_initial check=final_relaxation start=initial_data "
        "goals=optimization_config"
    ),
}
"""Stored and present keys of the parts that name no class, by the key of the part; "" is all."""


def check_writable_format(log_format: int, folder: Path) -> None:
    """Refuse to write in a folder of an earlier format.

    Raises:
        LogError: the format is an earlier one.
    """
    if log_format < RENAMED_FORMAT:
        raise LogError(
            f"{folder} has log format {log_format}, which is read and not written. Start in a "
            f"new folder, with its energies: `initial_structures={str(database_path(folder))!r}`."
        )


def create_views(connection: sqlite3.Connection) -> None:
    """Let queries of a connection find the tables of an earlier format as they are today."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    for table, names in COLUMNS.items():
        stored = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
        if not stored:
            continue  # format 1 and 2 have no outcomes
        columns = [
            f"{_value(name, quoted(name))} AS {quoted(names.get(name, name))}" for name in stored
        ]
        columns += [f"'' AS {name}" for name in ADDED_COLUMNS.get(table, ()) if name not in stored]
        connection.execute(
            f"CREATE TEMP VIEW {table} AS SELECT {', '.join(columns)} FROM main.{table}"
        )


def _value(name: str, column: str) -> str:
    """Return the SQL expression of a stored column's present value."""
    cases = [f"WHEN '{old}' THEN '{new}'" for old, new in VALUES.get(name, {}).items()]
    return f"CASE {column} {' '.join(cases)} ELSE {column} END" if cases else column


def upgrade_description(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a campaign with the present types and keys."""
    upgraded: dict[str, Any] = _upgrade(description, "")
    return upgraded


def _upgrade(value: Any, part: str) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_upgrade(item, part) for item in value]
    if not isinstance(value, Mapping):
        return value
    names: dict[str, str] = PARTS.get(part, {})
    types: dict[str, Any] = {}
    for key, classes in TYPES.items():
        if isinstance(value.get(key), str) and value[key] in classes:
            types["type"], names = classes[value[key]]
            value = {name: item for name, item in value.items() if name != key}
            break
    upgraded = types | {names.get(key, key): _upgrade(item, key) for key, item in value.items()}
    if types.get("type") == "LocalGP" and "approximation" in upgraded:
        name = upgraded["approximation"]
        upgraded["approximation"] = APPROXIMATIONS.get(name, name)
    return upgraded


def upgrade_relaxation_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `RelaxationReport` from those that were stored."""
    return {RELAXATION_REPORT_KEYS.get(key, key): value for key, value in report.items()}


def upgrade_posterior_file(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and header of a posterior file under their present names.

    The state of the surrogate is renamed by `surrogates.legacy_state`.
    """
    return (
        {TENSORS.get(name, name): tensor for name, tensor in tensors.items()},
        {"generators" if key == "origins" else key: value for key, value in header.items()},
    )
