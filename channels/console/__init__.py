"""Messages into the log, for a demo and for development."""
