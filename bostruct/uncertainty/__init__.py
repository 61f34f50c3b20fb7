"""What a belief is worth.

Means, variances and data enter; calibrated predictions and scores leave. Plain
functions and frozen classes on tensors that know no campaign.
"""

from bostruct.uncertainty.calibration.conformal import Conformal as Conformal
from bostruct.uncertainty.calibration.conformal import (
    GroupedConformal as GroupedConformal,
)
from bostruct.uncertainty.calibration.conformal import (
    conformal_coverage as conformal_coverage,
)
from bostruct.uncertainty.calibration.conformal import conformal_rank as conformal_rank
from bostruct.uncertainty.calibration.conformal import (
    quantile_scores as quantile_scores,
)
from bostruct.uncertainty.calibration.isotonic import MonotoneMap as MonotoneMap
from bostruct.uncertainty.calibration.isotonic import isotonic as isotonic
from bostruct.uncertainty.calibration.plots import calibration_page as calibration_page
from bostruct.uncertainty.calibration.plots import draw_curve as draw_curve
from bostruct.uncertainty.calibration.plots import draw_errors as draw_errors
from bostruct.uncertainty.calibration.plots import draw_reliability as draw_reliability
from bostruct.uncertainty.calibration.plots import draw_scores as draw_scores
from bostruct.uncertainty.calibration.reliability import BinnedError as BinnedError
from bostruct.uncertainty.calibration.reliability import Reliability as Reliability
from bostruct.uncertainty.calibration.reliability import ence as ence
from bostruct.uncertainty.calibration.reliability import (
    ence_intercept as ence_intercept,
)
from bostruct.uncertainty.calibration.reliability import reliability as reliability
from bostruct.uncertainty.calibration.residuals import Residuals as Residuals
from bostruct.uncertainty.calibration.scaling import Calibration as Calibration
from bostruct.uncertainty.calibration.scaling import calibrate as calibrate
from bostruct.uncertainty.calibration.scores import Miscalibration as Miscalibration
from bostruct.uncertainty.calibration.scores import (
    calibration_curve as calibration_curve,
)
from bostruct.uncertainty.calibration.scores import coverage as coverage
from bostruct.uncertainty.calibration.scores import crps as crps
from bostruct.uncertainty.calibration.scores import dispersion as dispersion
from bostruct.uncertainty.calibration.scores import miscalibration as miscalibration
from bostruct.uncertainty.calibration.scores import nll as nll
from bostruct.uncertainty.calibration.scores import sharpness as sharpness
from bostruct.uncertainty.calibration.scores import sparsification as sparsification
from bostruct.uncertainty.calibration.scores import spearman as spearman
from bostruct.uncertainty.calibration.stratified import (
    GroupedCalibration as GroupedCalibration,
)
from bostruct.uncertainty.calibration.stratified import Strata as Strata
from bostruct.uncertainty.calibration.stratified import Stratum as Stratum
from bostruct.uncertainty.calibration.stratified import adaptivity as adaptivity
from bostruct.uncertainty.calibration.stratified import consistency as consistency
from bostruct.uncertainty.calibration.stratified import (
    quantile_labels as quantile_labels,
)
from bostruct.uncertainty.calibration.wilson import wilson as wilson
from bostruct.uncertainty.ensembles.committee import Consensus as Consensus
from bostruct.uncertainty.ensembles.committee import consensus as consensus
from bostruct.uncertainty.ensembles.committee import subsamples as subsamples
from bostruct.uncertainty.ensembles.committee import unbiased as unbiased
from bostruct.uncertainty.ensembles.likelihood import Shares as Shares
from bostruct.uncertainty.ensembles.likelihood import beta_nll as beta_nll
from bostruct.uncertainty.ensembles.likelihood import (
    ensemble_variance as ensemble_variance,
)
from bostruct.uncertainty.ensembles.likelihood import gaussian_nll as gaussian_nll
from bostruct.uncertainty.ensembles.mixture_of_experts import (
    density_gates as density_gates,
)
from bostruct.uncertainty.ensembles.mixture_of_experts import (
    distance_gates as distance_gates,
)
from bostruct.uncertainty.ensembles.mixture_of_experts import mix as mix
from bostruct.uncertainty.ensembles.propagation import Ensemble as Ensemble
from bostruct.uncertainty.ensembles.propagation import Extensivity as Extensivity
from bostruct.uncertainty.ensembles.propagation import (
    difference_variance as difference_variance,
)
from bostruct.uncertainty.ensembles.propagation import extensivity as extensivity
from bostruct.uncertainty.ensembles.propagation import propagate as propagate
from bostruct.uncertainty.linear_model.bayesian_linear_model import Metric as Metric
from bostruct.uncertainty.linear_model.exact_gp import ExactGP as ExactGP
from bostruct.uncertainty.linear_model.fingerprint import fingerprint as fingerprint
from bostruct.uncertainty.linear_model.laplace import Sketch as Sketch
from bostruct.uncertainty.linear_model.laplace import curvature as curvature
from bostruct.uncertainty.linear_model.laplace import gradient_rows as gradient_rows
from bostruct.uncertainty.linear_model.laplace import laplace as laplace
from bostruct.uncertainty.linear_model.last_layer import Readout as Readout
from bostruct.uncertainty.linear_model.last_layer_features import Batch as Batch
from bostruct.uncertainty.linear_model.prediction_rigidity import Rigidity as Rigidity
from bostruct.uncertainty.linear_model.prediction_rigidity import (
    prediction_rigidity as prediction_rigidity,
)
from bostruct.uncertainty.linear_model.prediction_rigidity import (
    structure_rows as structure_rows,
)
from bostruct.uncertainty.linear_model.sparse_gp import Nystroem as Nystroem
from bostruct.uncertainty.linear_model.sparse_gp import SparseGP as SparseGP
from bostruct.uncertainty.linear_model.weight_samples import Members as Members
from bostruct.uncertainty.prediction import Prediction as Prediction
