"""Modules whose functions both JSON routes and pages call."""
