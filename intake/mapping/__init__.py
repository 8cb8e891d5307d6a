"""Column mappings: which column of a file fills which field of a request."""
