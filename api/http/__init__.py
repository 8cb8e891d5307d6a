"""Modules for HTTP in general: middleware, access control, error answers, schemas of answers."""
