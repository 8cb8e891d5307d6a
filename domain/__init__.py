"""Contracts and pure rules. Imports nothing else of Holdgate; no I/O, no clock."""
