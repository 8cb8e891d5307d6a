"""Temporal activities: the code that causes the effects of processes.

Each class gets its dependencies in its constructor.
"""
