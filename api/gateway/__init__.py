"""Conversations of the API with running cases. The only package in api/ that holds Workflow handles.

`gateway` is what routes and pages call; `decisions` and `task_actions` do the work behind it; `requests` holds what
goes in and comes out, `refusals` records what is refused, `temporal` sets the deadlines.
"""
