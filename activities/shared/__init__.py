"""Helpers that steps of several processes use."""
