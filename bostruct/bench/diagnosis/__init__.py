"""Causes of failed benchmark runs, told apart step by step."""
