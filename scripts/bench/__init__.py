"""Benchmarks of Holdgate and of the bare engine: `make bench`. `docs/reference/performance.md` has the results."""
