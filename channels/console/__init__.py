"""The channel that prints messages to the worker's output, for a demo and for development."""
