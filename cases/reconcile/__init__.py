"""Background jobs of the worker: they finish what another process left undone, and follow changes made elsewhere."""
