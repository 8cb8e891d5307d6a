"""Deterministic orchestration: no I/O, no settings, no wall clock, no expression language."""
