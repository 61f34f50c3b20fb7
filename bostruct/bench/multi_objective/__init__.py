"""Benchmarks of Pareto fronts: tasks, methods, runs and recovery."""
