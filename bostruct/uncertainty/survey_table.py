"""Table of the survey's formulas and the public names that implement them.

Numbers of equations and sections are those of Grasselli et al., Digital Discovery 2025, 4, 2654.
The table is the text of `docs/rows.md` between its two marks:

    python -m bostruct.uncertainty.survey_table docs/rows.md

writes it anew.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

from bostruct.errors import InputError, error_message

TABLE_MARKERS = "<!-- rows -->", "<!-- end -->"


@final
@dataclass(frozen=True)
class SurveyRow:
    """One formula of the survey.

    Attributes:
        key: number of the formula in this project, from U1 on.
        title: name of the method.
        references: equations or a section of the survey, as the docstrings name them.
        public_names: public names below `bostruct`, most important first.
        usage: one line on how to use them.
    """

    key: str
    title: str
    references: tuple[str, ...]
    public_names: tuple[str, ...]
    usage: str


def _survey_row(key: str, title: str, references: str, public_names: str, usage: str) -> SurveyRow:
    return SurveyRow(key, title, tuple(references.split(", ")), tuple(public_names.split()), usage)


SURVEY_ROWS = (
    _survey_row(
        *("U1", "Bayesian linear model of features", "(1)"),
        "uncertainty.BayesianLinearModel.variance uncertainty.BayesianLinearModel.covariance",
        "variance and covariance of any linear model, energies and forces",
    ),
    _survey_row(
        *("U2", "Bayesian linear regression", "(2)-(4)"),
        "uncertainty.BayesianLinearModel.fit uncertainty.BayesianLinearModel.predict "
        "uncertainty.BayesianLinearModel.mean",
        "`BayesianLinearModel.fit(features, energies, ridge=...)`, then `predict`",
    ),
    _survey_row(
        *("U3", "Gaussian process, both spaces", "(7), (8)"),
        "uncertainty.ExactGP uncertainty.BayesianLinearModel",
        "`ExactGP` of a kernel, `BayesianLinearModel` of features: the same numbers",
    ),
    _survey_row(
        *("U4", "sparse Gaussian process", "(57)-(59), (7)"),
        "uncertainty.SparseGP uncertainty.Nystroem surrogates.LocalGP",
        "`approximation` sor, dtc, fitc or gap",
    ),
    _survey_row(
        *("U5", "centring of features", "Sec. 2.1"),
        "uncertainty.BayesianLinearModel.fit",
        '`offset="none"`, "centred", "intercept" or "bias"',
    ),
    _survey_row(
        *("U6", "Laplace approximation", "(10), (12)"),
        "uncertainty.laplace_approximation uncertainty.loss_curvature "
        "uncertainty.parameter_jacobian uncertainty.RandomProjection "
        "uncertainty.BayesianLinearModel.fit uncertainty.LastLayerLaplace",
        "rows are gradients of predictions, weights are l'' of the loss",
    ),
    _survey_row(
        *("U7", "last layer of a network", "(14)"),
        "uncertainty.LastLayerLaplace uncertainty.LayerBatch surrogates.LastLayer",
        "any torch network after training, or a surrogate that trains its own",
    ),
    _survey_row(
        *("U8", "samples of the last layer", "(9), (12)"),
        "uncertainty.WeightPosteriorSamples surrogates.LastLayer",
        "draw members, also with a nonlinear head",
    ),
    _survey_row(
        *("U10", "committee", "(17), (18)"),
        "uncertainty.ensemble_mean_variance uncertainty.subsample_rows "
        "uncertainty.unbiased_variance surrogates.Committee surrogates.Dropout "
        "surrogates.committee_prediction surrogates.PretrainedPotential",
        "mean and variance with the divisor M - 1, for members of any kind",
    ),
    _survey_row(
        *("U11", "mean-variance estimation", "(19)"),
        "uncertainty.gaussian_nll uncertainty.beta_nll surrogates.MeanVariance",
        "a network that predicts its own variance, or the likelihood to train another",
    ),
    _survey_row(
        *("U12", "deep ensemble", "(20)"),
        "uncertainty.decompose_variance uncertainty.VarianceDecomposition surrogates.DeepEnsemble",
        "variance of the means, and mean of the variances",
    ),
    _survey_row(
        *("U13", "shallow ensemble", "2.3.1"),
        "surrogates.ShallowEnsemble",
        "one network with many last layers, trained by their variance",
    ),
    _survey_row(
        *("U14", "mixture of experts", "(21), (22), (23), (25)"),
        "uncertainty.mix_experts uncertainty.distance_gates uncertainty.density_gates "
        "surrogates.MixtureOfExperts",
        'variance "independent", "correlated" or "mixture"',
    ),
    _survey_row(
        *("U15", "calibration of variances", "(26), (27)"),
        "uncertainty.calibrate uncertainty.Calibration",
        "one factor from held-out data: likelihood, committee or robust",
    ),
    _survey_row(
        *("U16", "reliability diagram", "2.4.2"),
        "uncertainty.reliability_diagram uncertainty.draw_reliability",
        "errors against variances in bins, with their confidence band",
    ),
    _survey_row(
        *("U17", "binned calibration error", "(28)"),
        "uncertainty.ence uncertainty.ence_intercept",
        "ENCE with its value for calibrated data",
    ),
    _survey_row(
        *("U18", "calibration in strata", "2.4.2"),
        "uncertainty.consistency uncertainty.adaptivity uncertainty.fit_isotonic",
        "by size of the variance, by kind of structure",
    ),
    _survey_row(
        *("U19", "scores", "2.4.3"),
        "uncertainty.miscalibration_area uncertainty.calibration_curve uncertainty.nll "
        "uncertainty.crps uncertainty.sharpness uncertainty.dispersion "
        "uncertainty.spearman uncertainty.coverage uncertainty.sparsification_error",
        "one number each, of the same `Residuals`",
    ),
    _survey_row(
        *("U20", "conformal intervals", "2.5"),
        "uncertainty.ConformalPredictor uncertainty.MondrianConformalPredictor "
        "uncertainty.conformal_rank uncertainty.conformal_coverage",
        "intervals with finite-sample coverage, by group and by structure",
    ),
    _survey_row(
        *("U21", "comparison of methods", "2.6"),
        "bench.uncertainty.compare",
        "tables and a figure; `bostruct uncertainty compare`",
    ),
    _survey_row(
        *("U22", "growth with size", "2.7"),
        "uncertainty.fit_extensivity uncertainty.structure_features",
        "growth of the variance of a total energy with the number of atoms",
    ),
    _survey_row(
        *("U23", "linear propagation", "(29)"),
        "uncertainty.propagate",
        "covariance of functions of energies",
    ),
    _survey_row(
        *("U24", "propagation by members", "(30)"),
        "uncertainty.Ensemble uncertainty.difference_variance",
        "differences, minima, fits: member by member, then the variance",
    ),
    _survey_row(
        *("U34", "prediction rigidity", "(33), (35)"),
        "uncertainty.compute_prediction_rigidity",
        "cost in the loss of changing a prediction",
    ),
    _survey_row(
        *("U35", "local and component rigidity", "(35)"),
        "uncertainty.PredictionRigidity",
        "of atoms, and of blocks of features",
    ),
)


def markdown_table() -> str:
    """Return the table of all rows in Markdown."""
    lines = ["| row | method | in the survey | names | usage |", "|---|---|---|---|---|"]
    for row in SURVEY_ROWS:
        names = " ".join(f"`{name}`" for name in row.public_names)
        references = ", ".join(
            text if text.startswith(("(", "Sec")) else f"Sec. {text}" for text in row.references
        )
        lines.append(f"| {' | '.join((row.key, row.title, references, names, row.usage))} |")
    return "\n".join(lines)


def update_document(text: str) -> str:
    """Return a document with the table between its marks.

    Raises:
        InputError: a mark is missing.
    """
    before, start, rest = text.partition(TABLE_MARKERS[0])
    _, end, after = rest.partition(TABLE_MARKERS[1])
    if not (start and end):
        condition = f"have {' and '.join(TABLE_MARKERS)}"
        raise InputError(error_message("text", condition, "neither or one"))
    return f"{before}{start}\n{markdown_table()}\n{end}{after}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(update_document(path.read_text(encoding="utf-8")), encoding="utf-8")
