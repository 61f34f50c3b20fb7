"""States of models from logs of formats 1 to 3 under the present names of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bostruct.surrogates.properties.state_header import decode_header, encode_header

TYPES = {
    "Mixture": "MixtureOfExperts",
    "Properties": "IndependentProperties",
    "Correlated": "MultitaskGP",
    "PerAtom": "IntensiveProperty",
    "Pretrained": "PretrainedPotential",
    "averaged": "MeanSOAP",
    "fractions": "ElementFractions",
    "clusters": "ClusterVectors",
}
"""Present names of classes by their names in old logs; others have kept theirs."""

_LOCAL_GP = {
    "constants": "species_energies",
    "inducing": "inducing_features",
    "place": "species_index",
    "factor": "kernel_cholesky",
    "precision": "precision_cholesky",
    "signal": "signal_std",
    "energy_noise": "energy_noise_std",
    "force_noise": "force_noise_std",
    "sizes": "soap_sizes",
    "cutoff": "soap_parameters",
    "repulsion": "pair_repulsion",
    "variance": "approximation",
}
_NETWORK = {
    "sizes": "soap_sizes",
    "lengths": "soap_parameters",
    "repulsion": "pair_repulsion",
    "constants": "species_energies",
    "scale": "energy_scale",
    "weights_first": "weights_first_weights",
    "weights_shift": "weights_species_bias",
    "weights_second": "weights_second_weights",
    "weights_bias": "weights_second_bias",
    "weights_last": "weights_last_weights",
    "weights_spread": "weights_std_weights",
    "weights_level": "weights_std_bias",
    "crowd_masks": "ensemble_dropout_masks",
    "crowd_ddof": "ensemble_ddof",
    "crowd_deviates": "ensemble_predicts_variance",
    "crowd_noise": "ensemble_energy_noise_std",
    "crowd_marks": "ensemble_training_losses",
    "readout_factor": "readout_hessian_cholesky",
    "readout_signal": "readout_signal_std",
    "readout_energy_noise": "readout_energy_noise_std",
    "readout_force_noise": "readout_force_noise_std",
    "draws": "weight_samples",
    "gates_center": "gating_center",
    "gates_axes": "gating_principal_axes",
    "gates_levels": "gating_log_weights",
    "gates_means": "gating_means",
    "gates_roots": "gating_precision_cholesky",
}
_GP = {
    "factor": "cholesky",
    "widening": "sigma_factor",
    "misfit": "loo_rms_z",
    "evidence": "log_marginal_likelihood",
}
_NETWORK_TYPES = ("Committee", "DeepEnsemble", "Dropout", "LastLayer", "MeanVariance")

TENSORS: dict[str, dict[str, str]] = {
    "LocalGP": _LOCAL_GP,
    **dict.fromkeys((*_NETWORK_TYPES, "MixtureOfExperts", "ShallowEnsemble"), _NETWORK),
    "GP": _GP,
    "MultitaskGP": {**_GP, "place": "task", "between": "task_covariance"},
    "MeanSOAP": {"environments": "inducing_environments", "factor": "kernel_cholesky"},
}
"""Old and present names of tensors, by the present name of the class."""


def upgrade_state(type_name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of a surrogate under the present names; present ones stay as they are.

    Args:
        type_name: Name of the surrogate's class, present or old.
        state: Tensors of a model's `state()`.
    """
    type_name, upgraded = TYPES.get(type_name, type_name), dict(state)
    header = decode_header(state["header"]) if "header" in state else {}
    if "learner" in header:
        header = {"type": TYPES.get(header["learner"], header["learner"]), **header}
        del header["learner"]
    if type_name == "IndependentProperties":
        upgraded, header = _upgrade_independent(upgraded, header)
    elif type_name == "IntensiveProperty":
        header["surrogate"] = TYPES.get(header["surrogate"], header["surrogate"])
        upgraded = _upgrade_part(upgraded, "own.", "surrogate.", header["surrogate"])
    else:
        for i, block in enumerate(header.get("blocks", ())):
            block["name"] = TYPES.get(block["name"], block["name"])
            upgraded = _upgrade_part(upgraded, f"map{i}.", f"map{i}.", block["name"])
        names = TENSORS.get(type_name, {})
        upgraded = {names.get(name, name): value for name, value in upgraded.items()}
    return upgraded | ({"header": encode_header(header)} if header else {})


def _upgrade_part(
    state: Mapping[str, Tensor], prefix: str, new_prefix: str, type_name: str
) -> dict[str, Tensor]:
    """Return a state of which the part under a prefix is upgraded, in the same order."""
    part = {name: value for name, value in state.items() if name.startswith(prefix)}
    stripped = {name.removeprefix(prefix): value for name, value in part.items()}
    new = zip(part, upgrade_state(type_name, stripped).items(), strict=True)
    upgraded = {name: (new_prefix + new_name, value) for name, (new_name, value) in new}
    return dict(upgraded.get(name, (name, value)) for name, value in state.items())


def _upgrade_independent(
    state: Mapping[str, Tensor], header: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the upgraded state and header of independent properties.

    Tensors that properties share are stored once; the header has the keys of all.
    """
    same, keys = header["same"], header["keys"]
    every = {key: state[same.get(key, key)] for key in keys}
    for i in range(len(header["names"])):
        told = decode_header(every[f"{i}.header"])
        every = _upgrade_part(every, f"{i}.", f"{i}.", told.get("learner") or told["type"])
    names = dict(zip(keys, every, strict=True))
    header |= {"keys": list(every), "same": {names[a]: names[b] for a, b in same.items()}}
    return {names[key]: every[names[key]] for key in keys if key not in same}, header
