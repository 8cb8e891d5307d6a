"""How fast Holdgate is, beside the bare engine: `make bench`. `docs/performance.md` says what came out."""
