"""Which formula is where: the rows of the survey and the names one calls.

Numbers of equations and sections are those of Grasselli et al., Digital Discovery
2025, 4, 2654. `page` is the text of `docs/rows.md` between its two marks:

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
    """One formula.

    Attributes:
        key: its number in this project, from U1 on.
        title: what it is.
        references: equations or a section of the survey, as the docstrings name them.
        public_names: public names below `bostruct`, the one to begin with first.
        usage: what one does with them, in a line.
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
        *("U1", "metric of features", "(1)"),
        "uncertainty.Metric.variance uncertainty.Metric.covariance",
        "variance and covariance of any linear readout, energies and forces",
    ),
    _survey_row(
        *("U2", "Bayesian linear regression", "(2)-(4)"),
        "uncertainty.Metric.fit uncertainty.Metric.predict uncertainty.Metric.mean",
        "`Metric.fit(features, energies, ridge=...)`, then `predict`",
    ),
    _survey_row(
        *("U3", "Gaussian process, both spaces", "(7), (8)"),
        "uncertainty.ExactGP uncertainty.Metric",
        "`ExactGP` of a kernel, `Metric` of features: the same numbers",
    ),
    _survey_row(
        *("U4", "sparse Gaussian process", "(57)-(59), (7)"),
        "uncertainty.SparseGP uncertainty.Nystroem surrogates.LocalGP",
        "variance by name: sor, dtc, fitc or gap",
    ),
    _survey_row(
        *("U5", "centring of features", "Sec. 2.1"),
        "uncertainty.Metric.fit",
        '`offset="none"`, "centred", "intercept" or "bias"',
    ),
    _survey_row(
        *("U6", "Laplace approximation", "(10), (12)"),
        "uncertainty.laplace uncertainty.curvature uncertainty.gradient_rows "
        "uncertainty.Sketch uncertainty.Metric.fit uncertainty.Readout",
        "rows are slopes of predictions, weights are l'' of the loss",
    ),
    _survey_row(
        *("U7", "last layer of a network", "(14)"),
        "uncertainty.Readout uncertainty.Batch surrogates.LastLayer",
        "the one torch network that is there, without training; or one that is trained",
    ),
    _survey_row(
        *("U8", "members from the last layer", "(9), (12)"),
        "uncertainty.Members surrogates.LastLayer",
        "draw members, also through a nonlinear head",
    ),
    _survey_row(
        *("U10", "committee", "(17), (18)"),
        "uncertainty.consensus uncertainty.subsamples uncertainty.unbiased "
        "surrogates.Committee surrogates.Dropout evaluators.committee "
        "surrogates.Pretrained",
        "mean and spread with the divisor M - 1, whoever the members are",
    ),
    _survey_row(
        *("U11", "mean-variance estimation", "(19)"),
        "uncertainty.gaussian_nll uncertainty.beta_nll surrogates.MeanVariance",
        "a network that predicts its own variance, or the likelihood for one's own",
    ),
    _survey_row(
        *("U12", "deep ensemble", "(20)"),
        "uncertainty.ensemble_variance uncertainty.Shares surrogates.DeepEnsemble",
        "spread of the means, and mean of the variances",
    ),
    _survey_row(
        *("U13", "shallow ensemble", "2.3.1"),
        "surrogates.ShallowEnsemble",
        "one network with many last layers, trained by their spread",
    ),
    _survey_row(
        *("U14", "mixture of experts", "(21), (22), (23), (25)"),
        "uncertainty.mix uncertainty.distance_gates uncertainty.density_gates surrogates.Mixture",
        'variance "independent", "correlated" or "mixture"',
    ),
    _survey_row(
        *("U15", "calibration of variances", "(26), (27)"),
        "uncertainty.calibrate uncertainty.Calibration",
        "one factor from held-out data: likelihood, committee or robust",
    ),
    _survey_row(
        *("U16", "reliability diagram", "2.4.2"),
        "uncertainty.reliability uncertainty.draw_reliability",
        "errors against variances, bin by bin, with the band to expect",
    ),
    _survey_row(
        *("U17", "binned calibration error", "(28)"),
        "uncertainty.ence uncertainty.ence_intercept",
        "ENCE with its floor",
    ),
    _survey_row(
        *("U18", "calibration in strata", "2.4.2"),
        "uncertainty.consistency uncertainty.adaptivity uncertainty.isotonic",
        "by size of the variance, by kind of structure",
    ),
    _survey_row(
        *("U19", "scores", "2.4.3"),
        "uncertainty.miscalibration uncertainty.calibration_curve uncertainty.nll "
        "uncertainty.crps uncertainty.sharpness uncertainty.dispersion "
        "uncertainty.spearman uncertainty.coverage uncertainty.sparsification",
        "one number each, of the same `Residuals`",
    ),
    _survey_row(
        *("U20", "conformal intervals", "2.5"),
        "uncertainty.Conformal uncertainty.GroupedConformal "
        "uncertainty.conformal_rank uncertainty.conformal_coverage",
        "intervals that hold in small samples, by group and by structure",
    ),
    _survey_row(
        *("U21", "comparison of methods", "2.6"),
        "compare.compare",
        "one table and one page; `bostruct uncertainty compare`",
    ),
    _survey_row(
        *("U22", "growth with size", "2.7"),
        "uncertainty.extensivity uncertainty.structure_rows",
        "how the variance of a total energy grows with its atoms",
    ),
    _survey_row(
        *("U23", "linear propagation", "(29)"),
        "uncertainty.propagate",
        "covariance of what is computed from energies",
    ),
    _survey_row(
        *("U24", "propagation by members", "(30)"),
        "uncertainty.Ensemble uncertainty.difference_variance",
        "differences, minima, fits: member by member, then the spread",
    ),
    _survey_row(
        *("U34", "prediction rigidity", "(33), (35)"),
        "uncertainty.prediction_rigidity",
        "what it costs the data to change a prediction",
    ),
    _survey_row(
        *("U35", "local and component rigidity", "(35)"),
        "uncertainty.Rigidity",
        "of atoms, and of blocks of features",
    ),
)


def markdown_table() -> str:
    """Return the table of all rows in Markdown."""
    lines = ["| row | what | in the survey | what to call | how |", "|---|---|---|---|---|"]
    for row in SURVEY_ROWS:
        names = " ".join(f"`{name}`" for name in row.public_names)
        where = ", ".join(
            place if place.startswith(("(", "Sec")) else f"Sec. {place}" for place in row.references
        )
        cells = (row.key, row.title, where, names, row.usage)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def update_document(text: str) -> str:
    """Return a document with the table between its marks.

    Raises:
        InputError: a mark is missing.
    """
    head, first, rest = text.partition(TABLE_MARKERS[0])
    _, last, tail = rest.partition(TABLE_MARKERS[1])
    if not (first and last):
        raise InputError(
            error_message("text", f"have {' and '.join(TABLE_MARKERS)}", "neither or one")
        )
    return f"{head}{first}\n{markdown_table()}\n{last}{tail}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(update_document(path.read_text(encoding="utf-8")), encoding="utf-8")
