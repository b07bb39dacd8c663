"""The study of the MAC block: `python -m benchmarks.semulator` measures and writes docs/semulator.md."""
