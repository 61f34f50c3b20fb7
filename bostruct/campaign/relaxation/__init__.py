"""Final relaxation of the best structures with the evaluator."""
