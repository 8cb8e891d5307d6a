"""Workflows: deterministic code that uses no I/O, settings, wall clock or expression language."""
