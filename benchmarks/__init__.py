"""Measurements that are too long for the tests; each is run with `python -m benchmarks.<name>`."""
