"""Analysis of a log: z scores, calibration, predictions, Pareto fronts."""
