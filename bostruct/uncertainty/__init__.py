"""Uncertainty quantification of predictions.

Means, variances, features and reference data enter; calibrated predictions, intervals and scores
leave. Plain functions and frozen classes on tensors, usable without a campaign.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.uncertainty.calibration.conformal import ConformalPredictor as ConformalPredictor
    from bostruct.uncertainty.calibration.conformal import (
        MondrianConformalPredictor as MondrianConformalPredictor,
    )
    from bostruct.uncertainty.calibration.conformal import conformal_coverage as conformal_coverage
    from bostruct.uncertainty.calibration.conformal import conformal_rank as conformal_rank
    from bostruct.uncertainty.calibration.conformal import (
        quantile_regression_scores as quantile_regression_scores,
    )
    from bostruct.uncertainty.calibration.isotonic import (
        MonotonicCalibration as MonotonicCalibration,
    )
    from bostruct.uncertainty.calibration.isotonic import fit_isotonic as fit_isotonic
    from bostruct.uncertainty.calibration.plots import calibration_figure as calibration_figure
    from bostruct.uncertainty.calibration.plots import (
        draw_calibration_curve as draw_calibration_curve,
    )
    from bostruct.uncertainty.calibration.plots import draw_error_vs_std as draw_error_vs_std
    from bostruct.uncertainty.calibration.plots import draw_reliability as draw_reliability
    from bostruct.uncertainty.calibration.plots import draw_z_histogram as draw_z_histogram
    from bostruct.uncertainty.calibration.reliability import (
        BinnedCalibrationError as BinnedCalibrationError,
    )
    from bostruct.uncertainty.calibration.reliability import (
        ReliabilityDiagram as ReliabilityDiagram,
    )
    from bostruct.uncertainty.calibration.reliability import ence as ence
    from bostruct.uncertainty.calibration.reliability import ence_intercept as ence_intercept
    from bostruct.uncertainty.calibration.reliability import (
        reliability_diagram as reliability_diagram,
    )
    from bostruct.uncertainty.calibration.residuals import Residuals as Residuals
    from bostruct.uncertainty.calibration.scaling import Calibration as Calibration
    from bostruct.uncertainty.calibration.scaling import calibrate as calibrate
    from bostruct.uncertainty.calibration.scores import MiscalibrationArea as MiscalibrationArea
    from bostruct.uncertainty.calibration.scores import calibration_curve as calibration_curve
    from bostruct.uncertainty.calibration.scores import coverage as coverage
    from bostruct.uncertainty.calibration.scores import crps as crps
    from bostruct.uncertainty.calibration.scores import dispersion as dispersion
    from bostruct.uncertainty.calibration.scores import miscalibration_area as miscalibration_area
    from bostruct.uncertainty.calibration.scores import nll as nll
    from bostruct.uncertainty.calibration.scores import sharpness as sharpness
    from bostruct.uncertainty.calibration.scores import sparsification_error as sparsification_error
    from bostruct.uncertainty.calibration.scores import spearman as spearman
    from bostruct.uncertainty.calibration.stratified import GroupedCalibration as GroupedCalibration
    from bostruct.uncertainty.calibration.stratified import Strata as Strata
    from bostruct.uncertainty.calibration.stratified import Stratum as Stratum
    from bostruct.uncertainty.calibration.stratified import adaptivity as adaptivity
    from bostruct.uncertainty.calibration.stratified import consistency as consistency
    from bostruct.uncertainty.calibration.stratified import quantile_labels as quantile_labels
    from bostruct.uncertainty.ensembles.committee import EnsembleMoments as EnsembleMoments
    from bostruct.uncertainty.ensembles.committee import (
        ensemble_mean_variance as ensemble_mean_variance,
    )
    from bostruct.uncertainty.ensembles.committee import subsample_rows as subsample_rows
    from bostruct.uncertainty.ensembles.committee import unbiased_variance as unbiased_variance
    from bostruct.uncertainty.ensembles.likelihood import (
        VarianceDecomposition as VarianceDecomposition,
    )
    from bostruct.uncertainty.ensembles.likelihood import beta_nll as beta_nll
    from bostruct.uncertainty.ensembles.likelihood import decompose_variance as decompose_variance
    from bostruct.uncertainty.ensembles.likelihood import gaussian_nll as gaussian_nll
    from bostruct.uncertainty.ensembles.mixture_of_experts import density_gates as density_gates
    from bostruct.uncertainty.ensembles.mixture_of_experts import distance_gates as distance_gates
    from bostruct.uncertainty.ensembles.mixture_of_experts import mix_experts as mix_experts
    from bostruct.uncertainty.ensembles.propagation import Ensemble as Ensemble
    from bostruct.uncertainty.ensembles.propagation import Extensivity as Extensivity
    from bostruct.uncertainty.ensembles.propagation import (
        difference_variance as difference_variance,
    )
    from bostruct.uncertainty.ensembles.propagation import fit_extensivity as fit_extensivity
    from bostruct.uncertainty.ensembles.propagation import propagate as propagate
    from bostruct.uncertainty.linear_model.bayesian_linear_model import (
        BayesianLinearModel as BayesianLinearModel,
    )
    from bostruct.uncertainty.linear_model.exact_gp import ExactGP as ExactGP
    from bostruct.uncertainty.linear_model.fingerprint import hash_tensors as hash_tensors
    from bostruct.uncertainty.linear_model.laplace import RandomProjection as RandomProjection
    from bostruct.uncertainty.linear_model.laplace import (
        laplace_approximation as laplace_approximation,
    )
    from bostruct.uncertainty.linear_model.laplace import loss_curvature as loss_curvature
    from bostruct.uncertainty.linear_model.laplace import parameter_jacobian as parameter_jacobian
    from bostruct.uncertainty.linear_model.last_layer import LastLayerLaplace as LastLayerLaplace
    from bostruct.uncertainty.linear_model.last_layer_features import LayerBatch as LayerBatch
    from bostruct.uncertainty.linear_model.prediction_rigidity import (
        PredictionRigidity as PredictionRigidity,
    )
    from bostruct.uncertainty.linear_model.prediction_rigidity import (
        compute_prediction_rigidity as compute_prediction_rigidity,
    )
    from bostruct.uncertainty.linear_model.prediction_rigidity import (
        structure_features as structure_features,
    )
    from bostruct.uncertainty.linear_model.sparse_gp import Nystroem as Nystroem
    from bostruct.uncertainty.linear_model.sparse_gp import SparseGP as SparseGP
    from bostruct.uncertainty.linear_model.weight_samples import (
        WeightPosteriorSamples as WeightPosteriorSamples,
    )
    from bostruct.uncertainty.prediction import Prediction as Prediction
else:
    __getattr__, __dir__ = lazy_exports(__name__)
