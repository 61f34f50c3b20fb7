"""Methods by name, and from files of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from bostruct.bench.uncertainty.method_predictions import Fits, Outcome, identity
from bostruct.campaign import campaign_file
from bostruct.errors import InputError, must
from bostruct.surrogates import (
    Committee,
    DeepEnsemble,
    Dropout,
    LastLayer,
    LocalGP,
    MeanVariance,
    Mixture,
    ShallowEnsemble,
)


class Named(NamedTuple):
    """A method that has a name.

    Args:
        make: Returns it.
        source: What its variance of an energy is made of.
    """

    make: Callable[[], Fits]
    source: str


METHODS: Mapping[str, Named] = {
    "LocalGP-sor": Named(
        partial(LocalGP, variance="sor"),
        "what the data leave open of the weights, and noise",
    ),
    "LocalGP-dtc": Named(
        partial(LocalGP, variance="dtc"),
        "as sor, and all that the inducing environments do not see",
    ),
    "LocalGP-fitc": Named(
        partial(LocalGP, variance="fitc"),
        "as dtc, and training rows are trusted by what is seen of them",
    ),
    "LocalGP-pooled": Named(
        LocalGP,
        "as dtc, and what is not seen of the training rows counts once, on average",
    ),
    "LastLayer": Named(
        LastLayer,
        "what the data leave open of one network's last layer, stretched by errors",
    ),
    "Committee": Named(
        Committee, "spread of networks, each without a share of the data, and noise"
    ),
    "Dropout": Named(Dropout, "spread of one network with units left out, and noise"),
    "MeanVariance": Named(
        MeanVariance, "a second output of one network, taught by its errors"
    ),
    "DeepEnsemble": Named(
        DeepEnsemble, "spread of networks, and the mean of their second outputs"
    ),
    "ShallowEnsemble": Named(
        ShallowEnsemble, "spread of the last layers of one network, taught by errors"
    ),
    "Mixture": Named(
        Mixture, "last layers of networks for kinds of structures, and how they differ"
    ),
}


def sources(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what the variances of the named methods among these are made of.

    Args:
        outcomes: What methods said.
    """
    return [
        f"σ of {one.method}: {METHODS[one.method].source}."
        for one in outcomes
        if one.method in METHODS and one.about == identity(METHODS[one.method].make())
    ]


def load(words: Sequence[str]) -> dict[str, Fits]:
    """Return the methods meant by name, each once and in order; all where none is.

    Args:
        words: Names, or Python files that hold methods at module level: anything with
            a `fit`, called by the name it has there.

    Raises:
        InputError: something is not there.
    """
    found: dict[str, Fits] = {}
    for word in words or METHODS:
        if word.endswith(".py") or "/" in word:
            found |= _own(Path(word))
        elif word in METHODS:
            found[word] = METHODS[word].make()
        else:
            condition = f"be one of {', '.join(METHODS)} or a file, mine.py"
            raise InputError(must("method", condition, repr(word)))
    return found


def _own(path: Path) -> dict[str, Fits]:
    values = vars(campaign_file.execute(path, "file of methods"))
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
        raise InputError(must(path.name, condition, "none", way_out))
    return found
