"""Import of files: from bytes to typed rows, and from rows to cases."""
