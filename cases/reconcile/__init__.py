"""Background jobs of the worker: they complete what another process left, and follow changes made elsewhere."""
