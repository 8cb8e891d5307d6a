"""Workflows: deterministic code without I/O, settings, wall clock or expression language."""
