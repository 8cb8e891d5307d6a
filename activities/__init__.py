"""Temporal activities: the code that causes the effects of processes.

Each class with activities gets its dependencies, such as the database, in its constructor.
"""
