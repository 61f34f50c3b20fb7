"""Benchmarks of minimum energies: tasks, methods, runs and statistics."""
