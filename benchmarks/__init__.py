"""Measurements that are too long for the tests: `python -m benchmarks`, `python -m benchmarks.<name>`."""
