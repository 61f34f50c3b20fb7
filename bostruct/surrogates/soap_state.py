"""The descriptor and the pair repulsion of a fitted model as tensors of its state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.surrogates.pair_repulsion import PairRepulsion


def soap_to_state(
    soap: SOAP, pair_repulsion: PairRepulsion | None, *sizes: int
) -> dict[str, Tensor]:
    """Return the settings of a descriptor and a pair repulsion as tensors.

    Args:
        soap: The descriptor.
        pair_repulsion: The pair prior, or None.
        *sizes: Further integers of the model, kept after `n_max` and `l_max`.
    """
    pair = pair_repulsion and [pair_repulsion.known_strength, pair_repulsion.range_factor]
    lengths = [soap.cutoff, soap.center_atom_weight, soap.species_similarity]
    return {
        "species": torch.tensor(soap.species),
        "soap_sizes": torch.tensor([soap.n_max, soap.l_max, *sizes]),
        "soap_parameters": torch.tensor(lengths, dtype=torch.float64),
        "pair_repulsion": torch.tensor(pair or [0.0, 0.0], dtype=torch.float64),
    }


def soap_from_state(state: Mapping[str, Tensor]) -> tuple[SOAP, PairRepulsion | None, list[int]]:
    """Return the descriptor, the pair repulsion and the further integers of `soap_to_state`."""
    n_max, l_max, *sizes = state["soap_sizes"].tolist()
    cutoff, center_atom_weight, similarity = state["soap_parameters"].tolist()
    species = tuple(state["species"].tolist())
    soap = SOAP(species, cutoff, n_max, l_max, center_atom_weight, similarity)
    strength, range_factor = state["pair_repulsion"].tolist()
    return soap, PairRepulsion(strength, range_factor) if strength else None, sizes
