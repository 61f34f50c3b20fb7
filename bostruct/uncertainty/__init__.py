"""What a belief is worth.

Means, variances and data enter; calibrated predictions and scores leave. Plain
functions and frozen classes on tensors that know no campaign.
"""

from bostruct.uncertainty.binned import BinnedError as BinnedError
from bostruct.uncertainty.binned import Reliability as Reliability
from bostruct.uncertainty.binned import ence as ence
from bostruct.uncertainty.binned import ence_intercept as ence_intercept
from bostruct.uncertainty.binned import reliability as reliability
from bostruct.uncertainty.calibration import Calibration as Calibration
from bostruct.uncertainty.calibration import calibrate as calibrate
from bostruct.uncertainty.committee import Consensus as Consensus
from bostruct.uncertainty.committee import consensus as consensus
from bostruct.uncertainty.committee import subsamples as subsamples
from bostruct.uncertainty.committee import unbiased as unbiased
from bostruct.uncertainty.conformal import Conformal as Conformal
from bostruct.uncertainty.conformal import GroupedConformal as GroupedConformal
from bostruct.uncertainty.conformal import conformal_coverage as conformal_coverage
from bostruct.uncertainty.conformal import conformal_rank as conformal_rank
from bostruct.uncertainty.conformal import quantile_scores as quantile_scores
from bostruct.uncertainty.exact import ExactGP as ExactGP
from bostruct.uncertainty.hook import Batch as Batch
from bostruct.uncertainty.metric import Metric as Metric
from bostruct.uncertainty.mixture import density_gates as density_gates
from bostruct.uncertainty.mixture import distance_gates as distance_gates
from bostruct.uncertainty.mixture import mix as mix
from bostruct.uncertainty.monotone import MonotoneMap as MonotoneMap
from bostruct.uncertainty.monotone import isotonic as isotonic
from bostruct.uncertainty.nystroem import Nystroem as Nystroem
from bostruct.uncertainty.nystroem import SparseGP as SparseGP
from bostruct.uncertainty.plots import calibration_page as calibration_page
from bostruct.uncertainty.plots import draw_curve as draw_curve
from bostruct.uncertainty.plots import draw_errors as draw_errors
from bostruct.uncertainty.plots import draw_reliability as draw_reliability
from bostruct.uncertainty.plots import draw_scores as draw_scores
from bostruct.uncertainty.posterior import Members as Members
from bostruct.uncertainty.prediction import Prediction as Prediction
from bostruct.uncertainty.propagation import Ensemble as Ensemble
from bostruct.uncertainty.propagation import Extensivity as Extensivity
from bostruct.uncertainty.propagation import difference_variance as difference_variance
from bostruct.uncertainty.propagation import extensivity as extensivity
from bostruct.uncertainty.propagation import propagate as propagate
from bostruct.uncertainty.readout import Readout as Readout
from bostruct.uncertainty.residuals import Residuals as Residuals
from bostruct.uncertainty.rigidity import Rigidity as Rigidity
from bostruct.uncertainty.rigidity import prediction_rigidity as prediction_rigidity
from bostruct.uncertainty.rigidity import structure_rows as structure_rows
from bostruct.uncertainty.scores import Miscalibration as Miscalibration
from bostruct.uncertainty.scores import calibration_curve as calibration_curve
from bostruct.uncertainty.scores import coverage as coverage
from bostruct.uncertainty.scores import crps as crps
from bostruct.uncertainty.scores import dispersion as dispersion
from bostruct.uncertainty.scores import miscalibration as miscalibration
from bostruct.uncertainty.scores import nll as nll
from bostruct.uncertainty.scores import sharpness as sharpness
from bostruct.uncertainty.scores import sparsification as sparsification
from bostruct.uncertainty.scores import spearman as spearman
from bostruct.uncertainty.share import wilson as wilson
from bostruct.uncertainty.source import fingerprint as fingerprint
from bostruct.uncertainty.stratified import GroupedCalibration as GroupedCalibration
from bostruct.uncertainty.stratified import Strata as Strata
from bostruct.uncertainty.stratified import Stratum as Stratum
from bostruct.uncertainty.stratified import adaptivity as adaptivity
from bostruct.uncertainty.stratified import consistency as consistency
from bostruct.uncertainty.stratified import quantile_labels as quantile_labels
