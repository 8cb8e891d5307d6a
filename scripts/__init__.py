"""Programs that developers of Holdgate start with `make`."""
