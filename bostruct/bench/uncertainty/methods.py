"""Methods of the uncertainty benchmark by name, and from Python files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from bostruct.bench.uncertainty.method_predictions import (
    MethodPredictions,
    SupportsFit,
    describe_method,
)
from bostruct.campaign import campaign_file
from bostruct.errors import InputError, check_choice, error_message
from bostruct.surrogates import (
    Committee,
    DeepEnsemble,
    Dropout,
    LastLayer,
    LocalGP,
    MeanVariance,
    MixtureOfExperts,
    ShallowEnsemble,
)
from bostruct.surrogates.local_gp.model import APPROXIMATIONS


class NamedMethod(NamedTuple):
    """Method with an explanation of its variance.

    Args:
        make: Function that makes the method.
        source: Contributions to the variance of an energy.
    """

    make: Callable[[], SupportsFit]
    source: str


LOCAL_GP_SOURCES = {
    "sor": "posterior variance of the weights, and noise",
    "dtc": "sor, and the prior variance that the inducing environments do not explain",
    "fitc": "dtc, with training rows weighted by the part that the inducing environments explain",
}
AVERAGED_FITC_SOURCE = "dtc, with the unexplained part of the training rows counted on average"

METHODS: Mapping[str, NamedMethod] = {
    f"LocalGP-{approximation}": NamedMethod(
        partial(LocalGP, approximation=approximation),
        LOCAL_GP_SOURCES.get(approximation, AVERAGED_FITC_SOURCE),
    )
    for approximation in APPROXIMATIONS
} | {
    "LastLayer": NamedMethod(
        LastLayer, "posterior variance of the last layer of one network, scaled by its errors"
    ),
    "Committee": NamedMethod(
        Committee, "spread of networks, each without a part of the data, and noise"
    ),
    "Dropout": NamedMethod(Dropout, "spread of one network with random units left out, and noise"),
    "MeanVariance": NamedMethod(
        MeanVariance, "second output of one network, trained on its errors"
    ),
    "DeepEnsemble": NamedMethod(
        DeepEnsemble, "spread of networks, and the mean of their second outputs"
    ),
    "ShallowEnsemble": NamedMethod(
        ShallowEnsemble, "spread of the last layers of one network, trained on errors"
    ),
    "MixtureOfExperts": NamedMethod(
        MixtureOfExperts, "last layers of networks for kinds of structures, and their differences"
    ),
}


def variance_sources(predictions: Sequence[MethodPredictions]) -> list[str]:
    """Return the contributions to the variances of the named methods among these.

    Args:
        predictions: Predictions of the methods.
    """
    return [
        f"σ of {run.method}: {METHODS[run.method].source}."
        for run in predictions
        if run.method in METHODS and run.description == describe_method(METHODS[run.method].make())
    ]


def load_methods(names: Sequence[str]) -> dict[str, SupportsFit]:
    """Return methods by name, each once and in order; all where no name is given.

    Args:
        names: Names, or Python files with objects that have a `fit` at module level, named as
            there.

    Raises:
        InputError: a method or a file does not exist.
    """
    methods: dict[str, SupportsFit] = {}
    for word in names or METHODS:
        if word.endswith(".py") or "/" in word:
            methods |= _methods_from_file(Path(word))
        else:
            check_choice("method", word, METHODS, " or a file, mine.py")
            methods[word] = METHODS[word].make()
    return methods


def _methods_from_file(path: Path) -> dict[str, SupportsFit]:
    values = vars(campaign_file.load_module(path, "file of methods"))
    methods = {
        name: value
        for name, value in values.items()
        if not name.startswith("_")
        and not isinstance(value, type | ModuleType)
        and callable(getattr(value, "fit", None))
    }
    if not methods:
        condition = "make an object with a `fit` at module level"
        way_out = "Write `method = bostruct.surrogates.LocalGP(cutoff=5.0)`."
        raise InputError(error_message(path.name, condition, "none", way_out))
    return methods
