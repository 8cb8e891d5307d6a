"""Benchmarks of Holdgate and of the bare engine, which `make bench` runs. Results: `docs/reference/performance.md`."""
