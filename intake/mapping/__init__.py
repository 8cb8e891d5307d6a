"""Which column of a file stands for which field of a request."""
