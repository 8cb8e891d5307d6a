"""Erase the content of cases, uploads and people."""
