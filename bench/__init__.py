"""Benchmarks. Each prints a table and a ratio against a baseline measured in the same run: `python launch.py bench NAME`."""
