"""Methods by name, and from files of one's own."""

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
from bostruct.errors import InputError, error_message
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


class NamedMethod(NamedTuple):
    """A method that has a name.

    Args:
        make: Returns it.
        source: What its variance of an energy is made of.
    """

    make: Callable[[], SupportsFit]
    source: str


METHODS: Mapping[str, NamedMethod] = {
    "LocalGP-sor": NamedMethod(
        partial(LocalGP, approximation="sor"),
        "what the data leave open of the weights, and noise",
    ),
    "LocalGP-dtc": NamedMethod(
        partial(LocalGP, approximation="dtc"),
        "as sor, and all that the inducing environments do not see",
    ),
    "LocalGP-fitc": NamedMethod(
        partial(LocalGP, approximation="fitc"),
        "as dtc, and training rows are trusted by what is seen of them",
    ),
    "LocalGP-pooled": NamedMethod(
        LocalGP,
        "as dtc, and what is not seen of the training rows counts once, on average",
    ),
    "LastLayer": NamedMethod(
        LastLayer,
        "what the data leave open of one network's last layer, stretched by errors",
    ),
    "Committee": NamedMethod(
        Committee, "spread of networks, each without a share of the data, and noise"
    ),
    "Dropout": NamedMethod(Dropout, "spread of one network with units left out, and noise"),
    "MeanVariance": NamedMethod(
        MeanVariance, "a second output of one network, taught by its errors"
    ),
    "DeepEnsemble": NamedMethod(
        DeepEnsemble, "spread of networks, and the mean of their second outputs"
    ),
    "ShallowEnsemble": NamedMethod(
        ShallowEnsemble, "spread of the last layers of one network, taught by errors"
    ),
    "Mixture": NamedMethod(
        MixtureOfExperts,
        "last layers of networks for kinds of structures, and how they differ",
    ),
}


def variance_sources(predictions: Sequence[MethodPredictions]) -> list[str]:
    """Return what the variances of the named methods among these are made of.

    Args:
        predictions: What methods said.
    """
    return [
        f"σ of {one.method}: {METHODS[one.method].source}."
        for one in predictions
        if one.method in METHODS and one.description == describe_method(METHODS[one.method].make())
    ]


def load_methods(names: Sequence[str]) -> dict[str, SupportsFit]:
    """Return the methods meant by name, each once and in order; all where none is.

    Args:
        names: Names, or Python files that hold methods at module level: anything with
            a `fit`, called by the name it has there.

    Raises:
        InputError: something is not there.
    """
    found: dict[str, SupportsFit] = {}
    for word in names or METHODS:
        if word.endswith(".py") or "/" in word:
            found |= _methods_from_file(Path(word))
        elif word in METHODS:
            found[word] = METHODS[word].make()
        else:
            condition = f"be one of {', '.join(METHODS)} or a file, mine.py"
            raise InputError(error_message("method", condition, repr(word)))
    return found


def _methods_from_file(path: Path) -> dict[str, SupportsFit]:
    values = vars(campaign_file.load_module(path, "file of methods"))
    found = {
        name: value
        for name, value in values.items()
        if not name.startswith("_")
        and not isinstance(value, type | ModuleType)
        and callable(getattr(value, "fit", None))
    }
    if not found:
        condition = "make an object with a `fit` at module level"
        way_out = "Write `mine = bostruct.surrogates.LocalGP(cutoff=5.0)`."
        raise InputError(error_message(path.name, condition, "none", way_out))
    return found
