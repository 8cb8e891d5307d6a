"""Background jobs of the worker: complete what a stopped process left, react to changes of people and in Temporal."""
