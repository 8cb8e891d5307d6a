"""How fast Holdgate is, beside the bare engine: `make bench`. `docs/reference/performance.md` has the results."""
