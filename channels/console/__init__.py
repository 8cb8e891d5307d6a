"""The channel that prints messages, for a demo and for development."""
