"""Methods paragraph of a report, from what the log says was used, with its references.

A part that this file does not know is named and cited by nothing: nothing is claimed of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from bostruct.campaign.report.html.literature import LITERATURE, Citation
from bostruct.campaign.report.labels import split_unit
from bostruct.campaign.report.summary import CampaignSummary

Parts = tuple[str, tuple[str, ...]]
"""Words, and the keys of what they cite."""

SPACES: Mapping[str, str] = {
    "Cluster": "free clusters and molecules",
    "Surface": "atoms and molecules on a slab",
    "Pose": "rigid poses of a molecule on a slab",
    "Crystal": "crystals of variable cell",
    "ChemicalSystem": "crystals of several compositions",
    "Conformers": "conformers of a molecule",
    "Coordinates": "structures over named coordinates",
    "Molecule": "rigid molecules",
    "Composition": "alloy compositions",
    "Lattice": "occupations of a lattice",
    "Orderings": "alloy orderings",
    "Pool": "a pool of given structures",
}
"""What a space holds, by the name of its class."""

NAMED_COORDINATES = ("Coordinates", "Pose")
"""Spaces whose structures are relaxed in named coordinates, by the names of their classes."""

ACQUISITIONS: Mapping[str, Parts] = {
    "LowerConfidenceBound": ("the lower confidence bound", ("srinivas",)),
    "qLowerConfidenceBound": ("the lower confidence bound of batches", ("srinivas",)),
    "ExpectedImprovement": ("expected improvement", ("jones",)),
    "LogExpectedImprovement": ("the logarithm of expected improvement", ("jones", "ament")),
    "qExpectedImprovement": ("expected improvement of batches", ("jones",)),
    "qLogExpectedImprovement": ("the logarithm of expected improvement", ("jones", "ament")),
    "qNoisyExpectedImprovement": ("noisy expected improvement", ("jones",)),
    "qLogNoisyExpectedImprovement": ("the logarithm of noisy expected improvement", ("ament",)),
    "ProbabilityOfImprovement": ("probability of improvement", ("kushner",)),
    "LogProbabilityOfImprovement": ("the logarithm of probability of improvement", ("kushner",)),
    "qProbabilityOfImprovement": ("probability of improvement of batches", ("kushner",)),
    "StandardDeviation": ("the posterior standard deviation", ()),
    "qStandardDeviation": ("the posterior standard deviation", ()),
    "ParetoProbabilityOfImprovement": (
        "the probability of entering the Pareto front",
        ("keane", "couckuyt"),
    ),
    "ExpectedHypervolumeImprovement": ("expected hypervolume improvement", ("yang",)),
    "qLogExpectedHypervolumeImprovement": (
        "the logarithm of expected hypervolume improvement",
        ("daulton", "ament"),
    ),
    "qLogNoisyExpectedHypervolumeImprovement": (
        "the logarithm of noisy expected hypervolume improvement",
        ("daulton", "ament"),
    ),
    "qLogNParEGO": ("ParEGO", ("knowles", "daulton", "ament")),
}

SURROGATES: Mapping[str, Parts] = {
    "CoordinateGP": ("a Gaussian process over the coordinates", ("rasmussen", "boss")),
    "IndependentProperties": (
        "an independent Gaussian process for each learned property",
        ("rasmussen",),
    ),
    "GP": ("a Gaussian process", ("rasmussen",)),
    "MultitaskGP": ("a multitask Gaussian process", ("rasmussen",)),
    "DeepEnsemble": ("an ensemble of neural networks", ("lakshminarayanan",)),
}

SEARCHES: Mapping[str, Parts] = {
    "BasinHopping": ("basin hopping on the acquisition function", ("wales",)),
    "ExhaustiveSearch": ("an evaluation of the acquisition function at all members", ()),
    "EvolutionarySearch": ("an evolutionary search on the acquisition function", ()),
}

CALCULATORS: Mapping[str, Parts] = {
    "ase.calculators.emt": ("effective medium theory as implemented in ASE", ("emt", "ase")),
    "ase.calculators.nwchem": ("NWChem through ASE", ("nwchem", "ase")),
    "ase": ("a calculator of ASE", ("ase",)),
    "chgnet": ("CHGNet", ("chgnet",)),
    "sevenn": ("SevenNet", ("sevennet",)),
}
"""Evaluators by the beginning of the name of their calculator."""


@final
@dataclass(frozen=True)
class MethodsText:
    """Methods paragraph.

    Attributes:
        sentences: Sentences, with `[1]` where a reference is cited.
        references: References in the order of their numbers.
    """

    sentences: tuple[str, ...]
    references: tuple[Citation, ...]


class _Writer:
    """Numbers of references in the order of their first citation."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def cite(self, *keys: str) -> str:
        """Return " [1, 2]" for some keys, "" for none."""
        self.keys += [key for key in keys if key not in self.keys]
        numbers = sorted(self.keys.index(key) + 1 for key in keys)
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""


def subject_text(description: Mapping[str, Any], formula: str = "") -> str:
    """Return what a campaign searches, as in "Cluster Cu15".

    Args:
        description: Description of the campaign.
        formula: Formula of a structure, where the description has none.

    >>> subject_text({"space": {"type": "Cluster", "formula": "Cu15"}})
    'Cluster Cu15'
    """
    space = _part(description, "space")
    name = _type(space)
    members = space.get("members")
    if isinstance(members, list) and members:
        found = dict.fromkeys(e for m in members for e in m.get("atomic_radii", {}))
        return f"{name} {'-'.join(found)}"
    elements = space.get("elements") or space.get("volumes")
    if isinstance(elements, list | Mapping):
        return f"{name} {'-'.join(map(str, elements))}"
    return f"{name} {space.get('formula') or formula}".strip()


def methods_text(
    summary: CampaignSummary, formula: str = "", n_without_model: int = 0
) -> MethodsText:
    """Return the methods paragraph of a campaign.

    Args:
        summary: Summary of the campaign.
        formula: Formula of a structure, where the description has none.
        n_without_model: Number of evaluations that no model had chosen.
    """
    description, writer = summary.description, _Writer()
    versions = summary.versions or {}
    sentences = [
        _search_sentence(summary, formula, n_without_model),
        _evaluator_sentence(_part(description, "evaluator"), writer),
    ]
    if summary.n_evaluations > n_without_model:
        sentences += [
            _surrogate_sentence(_part(description, "surrogate"), writer),
            _acquisition_sentence(description, writer),
            "Reported standard deviations are calibrated by the errors of the predictions before"
            f"{writer.cite('grasselli')}.",
        ]
    relaxation = None if summary.energy is None else summary.energy.final_relaxation
    if relaxation is not None and relaxation.n_converged:
        n = relaxation.n_converged
        limit = f"no force exceeded {relaxation.fmax:g} eV/Å"
        if _type(_part(description, "space")) in NAMED_COORDINATES:
            limit = (
                "no derivative of the energy by a coordinate exceeded "
                f"{relaxation.fmax:g} eV per radian, or per range over 2π"
            )
        sentences.append(
            f"At the end {n} of the best structures {'was' if n == 1 else 'were'} relaxed until "
            f"{limit}."
        )
    packages = {"gpytorch": "GPyTorch", "botorch": "BoTorch", "torch": "PyTorch"}
    used = [
        f"{label} {versions[key]}{writer.cite(*({key} & set(LITERATURE)))}"
        for key, label in packages.items()
        if key in versions
    ]
    software = f"bostruct {versions.get('bostruct', '')}".strip()
    sentences.append(f"The campaign ran with {software}{' on ' if used else ''}{_joined(used)}.")
    return MethodsText(tuple(filter(None, sentences)), tuple(LITERATURE[k] for k in writer.keys))


def _search_sentence(summary: CampaignSummary, formula: str, n_without_model: int) -> str:
    description = summary.description
    space = _part(description, "space")
    name = _type(space)
    what = SPACES.get(name, f"the space {name}")
    n = summary.n_evaluations
    counted = f"{n} evaluation{'' if n == 1 else 's'}"
    subject = subject_text(description, formula).removeprefix(name).strip()
    subject = f", {subject}," if subject else ""
    config = description.get("optimization_config")
    if isinstance(config, Mapping):
        goals = [
            f"{part['direction']} {split_unit(part['name'])[0]}" for part in config["objectives"]
        ]
        aim = f"By Bayesian optimization {what}{subject} were searched to {_joined(goals)}"
    else:
        goal = "The stable phases were" if "members" in space else "The lowest energy was"
        aim = f"{goal} searched by Bayesian optimization among {what}{subject}".rstrip(",")
        aim += "," * bool(subject)
    first = f", {n_without_model} of them chosen without a model," if n_without_model else ""
    given = summary.n_initial_data
    data = f" and {given} given structure{'' if given == 1 else 's'}" if given else ""
    return f"{aim} in {counted}{first}{data} with seed {summary.seed}."


def _evaluator_sentence(evaluator: Mapping[str, Any], writer: _Writer) -> str:
    kind = _type(evaluator)
    inner = evaluator.get("calculator")
    calculator = inner if isinstance(inner, Mapping) else evaluator
    factory = str(calculator.get("factory") or calculator.get("function") or kind)
    keys: tuple[str, ...] = ()
    text = f"`{factory}`"
    method = str(_part(calculator, "arguments").get("method", ""))
    if factory.startswith("tblite"):
        text = f"{method or 'tblite'} as implemented in tblite"
        keys = ("gfn2",) if method == "GFN2-xTB" else ()
    for prefix, (words, cited) in CALCULATORS.items():
        if factory == prefix or factory.startswith(f"{prefix}."):
            text, keys = f"{words} (`{factory}`)", cited
            break
    quantity = "Properties of relaxed crystals" if kind == "AlloyProperties" else "Energies"
    if calculator.get("with_forces") and kind == "Calculator":
        quantity = "Energies and forces"
    return f"{quantity} were computed by {text}{writer.cite(*keys)}."


def _surrogate_sentence(surrogate: Mapping[str, Any], writer: _Writer) -> str:
    name = _type(surrogate)
    if name != "LocalGP":
        words, keys = SURROGATES.get(name, (f"`{name}`", ()))
        return f"The surrogate model was {words}{writer.cite(*keys)}."
    sparse = str(surrogate.get("approximation", "")).replace("_", " ")
    parts = [
        f"a Gaussian process{writer.cite('rasmussen')} of atomic energies over SOAP environments"
        f"{writer.cite('bartok')} with the dot-product kernel to the power {surrogate.get('zeta')}"
    ]
    if surrogate.get("pair_term"):
        parts.append("a process of pair energies")
    if surrogate.get("embedding_term"):
        parts.append(f"one of embedding energies{writer.cite('daw')}")
    return (
        f"The surrogate model was the sum of {_joined(parts)}, sparse by {sparse} with up to "
        f"{surrogate.get('max_inducing')} inducing environments{writer.cite('quinonero')}."
        if len(parts) > 1
        else f"The surrogate model was {parts[0]}, sparse by {sparse} with up to "
        f"{surrogate.get('max_inducing')} inducing environments{writer.cite('quinonero')}."
    )


def _acquisition_sentence(description: Mapping[str, Any], writer: _Writer) -> str:
    acquisition, search = _part(description, "acquisition"), _part(description, "search")
    words, keys = ACQUISITIONS.get(_type(acquisition), (f"`{_type(acquisition)}`", ()))
    details = ""
    if "kappa" in acquisition:
        adaptive = ", adapted to the errors of earlier predictions" * bool(
            acquisition.get("adaptive")
        )
        details = f" (κ = {acquisition['kappa']:g}{adaptive})"
    cited = writer.cite(*keys)
    found, search_keys = SEARCHES.get(_type(search), (f"the search `{_type(search)}`", ()))
    batch = description.get("batch_size")
    size = f", in batches of {batch}" if isinstance(batch, int) and batch > 1 else ""
    if description.get("asynchronous"):
        size = f", with {batch} in flight at any time and the others pending"
    return (
        f"Structures were selected by {words}{details}{cited}, maximized by {found}"
        f"{writer.cite(*search_keys)}{size}."
    )


def _part(description: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = description.get(name)
    return part if isinstance(part, Mapping) else {}


def _type(part: Mapping[str, Any]) -> str:
    return str(part.get("type") or part.get("kind") or "unnamed")


def _joined(parts: list[str]) -> str:
    """Return words in one list, the last after "and"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
