"""Parsing of files in separate processes with limits."""
