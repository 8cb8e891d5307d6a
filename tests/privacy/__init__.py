"""Personal data stay out of logs, traces, metrics and Temporal's database, and every store of them is documented."""
