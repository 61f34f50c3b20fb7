"""Benchmarks of run time and memory, and ablation of the search."""
