"""The default surrogate: energies as sums of a Gaussian process over environments.

Energies and forces are trained on together through m inducing environments. The cost
of a fit is linear in the number of structures, and its memory does not grow with it
beyond the structures themselves; the cost of a prediction does not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import InputError, check_count, check_positive, check_share, must
from bostruct.structures import Structures
from bostruct.surrogates.base import Decodes
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.inducing_points import choose, evenly
from bostruct.surrogates.local_gp.kernel import Inducing
from bostruct.surrogates.local_gp.marginal_likelihood import (
    NAMES,
    Hyperparameters,
    Rows,
    log_marginal_likelihood,
    maximise,
    posterior,
)
from bostruct.surrogates.local_gp.model import KINDS, Fit, Kind, LocalModel
from bostruct.surrogates.pair_repulsion import Repulsion
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.training_data import Observations, observations

REACH = 1.9  # default cut-off in units of the longest bond: past the second shell
POOL = 8192  # training environments that may become inducing ones
SHAKE = 0.035  # of the cut-off: a fifteenth of a bond
REPULSION = Repulsion()
ALCHEMY = {0.95: 0.8, 0.0: 0.5}  # similarities of species, and a milder one of each
JUDGES, SKETCH = 20, 80  # structures, and environments of a species, that decide
WITNESSES = 16  # atoms of each of them whose forces tell what of such is not seen


@final
@dataclass(frozen=True)
class LocalGP:
    """Sparse Gaussian process over local environments, on energies and forces.

    Equation (7) with the features of (57)-(59) of Grasselli et al., Digital Discovery
    2025, 4, 2654; `variance` says which variance.

    Attributes:
        cutoff: Å; by default 1.9 times the longest bond between the species' radii.
        radial: radial functions of the descriptor.
        angular: largest degree of its spherical harmonics.
        center: weight of the atom itself in its descriptor.
        power: exponent of the dot-product kernel.
        inducing: the most inducing environments of one species; each further one adds
            half as many.
        alchemy: similarity of two different species, from 0 to below 1: what is learnt
            around one is believed around the other. None takes the most probable.
        tolerance: environments explained up to this share of the signal variance are
            not taken as inducing ones.
        repulsion: the pair prior, or None.
        hyperparameters: standard deviations (signal eV, energy noise eV per root
            atom, force noise eV/Å) to keep fixed; None fits them.
        variance: what is not known. "dtc": what the data leave open of what the
            inducing environments see, and all that these do not see; what they do not
            see of the data counts as noise, too, and σ is too wide by up to a half.
            "pooled": the mean of "dtc", and a σ for which energies and forces are
            believed less by what of such is not seen on average, so that it counts
            once. "fitc": each is believed less by what of it is not seen, for mean and
            σ; a fit takes twice as long. "sor": what the data leave open alone;
            dangerous, as it vanishes far from them, where least is known, so that a
            search never goes there.

    Raises:
        InputError: a number is out of range.
    """

    cutoff: float | None = None
    radial: int = 5
    angular: int = 4
    center: float = 45.0
    power: int = 3
    inducing: int = 500
    alchemy: float | None = None
    tolerance: float = 1e-6
    repulsion: Repulsion | None = REPULSION
    hyperparameters: tuple[float, float, float] | None = None
    variance: Kind = "pooled"

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            check_positive("cutoff", self.cutoff, "Give a length in Å, or None.")
        check_count("power", self.power)
        check_count("inducing", self.inducing)
        if self.variance not in KINDS:
            condition = f"be one of {', '.join(map(repr, KINDS))}"
            raise InputError(must("variance", condition, repr(self.variance)))
        check_share("tolerance", self.tolerance)
        self._soap((1,), 1.0, self.alchemy or 0.0)
        if self.hyperparameters is not None:
            for value in self.hyperparameters:
                check_positive("hyperparameters", value, "They are three deviations.")

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values.

        "dtc" is not in it: campaigns older than the others go on with it.
        """
        found = {"surrogate": "LocalGP"} | asdict(self)
        if self.variance == "dtc":
            del found["variance"]
        return found

    def fit(self, structures: Structures, space: Decodes | None = None) -> LocalModel:
        """Return the model that these energies and forces teach.

        Args:
            structures: with `energy` known, and `forces` where there are any.
            space: gives structures to coordinates, and radii where the potential has
                its own length scale; None if only `predict` is needed.

        Raises:
            InputError: an energy is missing, or there is no structure.
        """
        species, radii = species_radii(structures, space)
        cutoff = self.cutoff or REACH * 2 * float(radii.max())
        soap = self._soap(species, cutoff, self.alchemy or 0.0)
        place = soap.place(structures.numbers)
        radii = radii.to(structures.positions)
        data = observations(structures, self.repulsion, radii[place])
        data, constants = data.centred(place, len(species))
        if self.alchemy is None and len(species) > 1:
            soap = self._likeliest(soap, data)
        partly = self.variance in ("fitc", "pooled")
        inducing, energies, forces = self._seen(soap, data, self.inducing, partly)
        fitted = self._hyperparameters(energies, forces, data)
        s, e, f, evidence = (value.to(energies.gram) for value in fitted)
        if self.variance == "fitc":
            with torch.no_grad():
                ratios = (s / e, s / f)
                energies, forces = _statistics(soap, inducing, data, ratios=ratios)
                evidence = log_marginal_likelihood(energies, forces, s, e, f)
        factor, mean = posterior(energies, forces, s, e, f)
        if self.variance == "pooled":
            mean = self._mean_of_dtc(energies, forces, data)
        fit = Fit(
            radii=radii,
            constants=constants,
            inducing=inducing.features,
            place=inducing.place,
            factor=inducing.factor,
            precision=factor.contiguous(),  # as it comes back from a file
            weights=mean,
            signal=s,
            energy_noise=e,
            force_noise=f,
            log_marginal_likelihood=evidence,
        )
        kind = self.variance
        return LocalModel(soap, self.power, self.repulsion, fit, space, kind)

    def restore(
        self, state: Mapping[str, Tensor], space: Decodes | None = None
    ) -> LocalModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        radial, angular, power = state["sizes"].tolist()
        cutoff, center, alchemy = state["cutoff"].tolist()
        species = tuple(state["species"].tolist())
        soap = SOAP(species, cutoff, radial, angular, center, alchemy)
        strength, reach = state["repulsion"].tolist()
        repulsion = Repulsion(strength, reach) if strength else None
        fit = Fit(**{name: state[name] for name in Fit.__dataclass_fields__})
        kind = KINDS[int(state["variance"])] if "variance" in state else "dtc"
        return LocalModel(soap, power, repulsion, fit, space, kind)

    def _soap(self, species: tuple[int, ...], cutoff: float, alchemy: float) -> SOAP:
        return SOAP(species, cutoff, self.radial, self.angular, self.center, alchemy)

    def _likeliest(self, soap: SOAP, data: Observations) -> SOAP:
        """Return the descriptor with the similarity that the data make most probable.

        A few of the structures, seen through a few environments, tell it: whether
        species are much alike or not at all, and whether a milder value is better.
        """
        few = data.thinned(JUDGES)

        def evidence(alchemy: float) -> float:
            tried = replace(soap, alchemy=alchemy)
            count, partly = min(SKETCH, self.inducing), self.variance == "fitc"
            _, energies, forces = self._seen(tried, few, count, partly)
            return float(self._hyperparameters(energies, forces, few)[-1])

        found = {alchemy: evidence(alchemy) for alchemy in ALCHEMY}
        milder = ALCHEMY[max(found, key=found.__getitem__)]
        found[milder] = evidence(milder)
        return replace(soap, alchemy=max(found, key=found.__getitem__))

    def _seen(
        self, soap: SOAP, data: Observations, count: int, partly: bool
    ) -> tuple[Inducing, Rows, Rows]:
        """Return inducing environments, and what of the data is seen through them.

        Args:
            soap: the descriptor.
            data: all rows.
            count: the most inducing environments of one species.
            partly: as of `_statistics`.
        """
        with torch.no_grad():
            most = count * (len(soap.species) + 1) // 2
            inducing = self._inducing(soap, data, most)
            return (inducing, *_statistics(soap, inducing, data, partly=partly))

    def _inducing(self, soap: SOAP, data: Observations, count: int) -> Inducing:
        """Return the inducing environments: those of the data, then shaken ones.

        Forces say how energies change when atoms move, which environments of the data
        alone cannot express while there are few; where there is room left, those of a
        shaken copy of every structure are added.
        """
        place = soap.place(data.structures.numbers)
        kept = evenly(len(place), POOL).to(place.device)
        parts, seen = [], 0
        for part in data.chunks():
            found = soap(part.structures)
            mine = kept[(kept >= seen) & (kept < seen + len(found))]
            parts.append(found[mine - seen])
            seen += len(found)
        P, place = torch.cat(parts), place[kept]
        preferred = len(P)
        if preferred < count:
            shaken = _shaken(data.structures, SHAKE * soap.cutoff)
            P = torch.cat((P, soap(shaken)[kept]))
            place = place.repeat(2)
        return choose(
            P,
            place,
            self.power,
            count=count,
            tolerance=self.tolerance,
            preferred=preferred,
            pool=POOL,
        )

    def _mean_of_dtc(self, energies: Rows, forces: Rows, data: Observations) -> Tensor:
        """Return the mean `[m]` eV of the weights where what is not seen is noise."""
        rows = energies.bare(), forces.bare()
        s, e, f, _ = (x.to(energies.gram) for x in self._hyperparameters(*rows, data))
        return posterior(*rows, s, e, f)[1]

    def _hyperparameters(
        self, energies: Rows, forces: Rows, data: Observations
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return signal, energy noise, force noise, log marginal likelihood."""
        found = Hyperparameters(data.force_scale(), 1.0)
        if self.hyperparameters is not None:
            found.set(self.hyperparameters)
        free = self.hyperparameters is None
        evidence = maximise(energies, forces, found, move=free)
        s, e, f = (found.value(name).detach() for name in NAMES)
        return s, e, f, evidence


def _shaken(structures: Structures, size: float) -> Structures:
    """Return the structures with every coordinate moved by some `size` Å at random."""
    generator = torch.Generator().manual_seed(0)
    shape = structures.positions.shape
    noise = torch.randn(shape, dtype=torch.float64, generator=generator) * size
    moved = structures.positions + noise.to(structures.positions)
    return replace(structures, positions=moved)


def _statistics(
    soap: SOAP,
    inducing: Inducing,
    data: Observations,
    *,
    partly: bool = False,
    ratios: tuple[Tensor, Tensor] | None = None,
) -> tuple[Rows, Rows]:
    """Return the statistics of all energy rows and of all force rows.

    Args:
        soap: the descriptor.
        inducing: what the rows are seen through.
        data: the rows.
        partly: whether the mean of what the inducing environments do not see of the
            rows goes with the statistics; some of the forces on some of the structures
            tell it.
        ratios: signal over energy noise and over force noise, for rows whose own noise
            is to hold what the inducing environments do not see of each.
    """
    energies = forces = Rows.none(len(inducing), inducing.features)
    power, seen = inducing.power, 0
    known = data.forces.isfinite().all(-1)  # [n] atoms
    asked = _witnesses(data.structures, known) if partly else known
    missed: list[list[Tensor]] = [[], []]  # of energies, of forces
    for part in data.chunks():
        structures, trust = part.structures, part.trust.square()
        place = soap.place(structures.numbers)
        atoms = slice(seen, seen + len(place))
        seen += len(place)
        if bool(known[atoms].any()):
            slopes = soap.slopes(structures)
            P = slopes.features
            phi = inducing.whiten(inducing.forces(slopes, place))  # [n, 3, m]
            noise = trust[structures.index].unsqueeze(-1).repeat(1, 3)
            some = asked[atoms]
            if partly or ratios is not None:
                prior = prior_variance.forces(
                    slopes, place, structures.counts, power, some
                )
                rest = _rest(prior, phi[some])
                missed[1].append((rest / noise[some]).flatten())
            if ratios is not None:
                noise[some] += rest * ratios[1] ** 2
            rows = (x[known[atoms]] for x in (phi, part.forces, noise))
            forces = forces.add(*(x.flatten(0, 1) for x in rows))
        else:
            P = soap(structures)
        K = inducing.energies(P, place, structures.index, len(structures))
        phi = inducing.whiten(K)
        noise = trust * structures.counts
        if partly or ratios is not None:
            rest = _rest(
                prior_variance.energies(P, place, structures.counts, power), phi
            )
            missed[0].append(rest / noise)
        if ratios is not None:
            noise = noise + rest * ratios[0] ** 2
        energies = energies.add(phi, part.energy, noise)
    if not partly:
        return energies, forces
    told = [torch.cat(m).mean() if m else energies.unseen for m in missed]
    return replace(energies, unseen=told[0]), replace(forces, unseen=told[1])


def _witnesses(structures: Structures, known: Tensor) -> Tensor:
    """Return which atoms tell how much of forces is not seen, `[n]` True or False.

    Of those whose forces are known, at most `WITNESSES` of a structure, evenly, and of
    at most `JUDGES` structures, evenly.
    """
    found = torch.zeros_like(known)
    several = structures.index[known].unique().tolist()
    for k in several[:: -(-len(several) // JUDGES) or 1]:
        atoms = ((structures.index == k) & known).nonzero().squeeze(-1)
        found[atoms[:: -(-len(atoms) // WITNESSES)]] = True
    return found


def _rest(prior: Tensor, phi: Tensor) -> Tensor:
    """Return what phi does not see of rows, in units of the signal variance."""
    return (prior - phi.square().sum(-1)).clamp(min=0)
