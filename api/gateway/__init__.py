"""Send messages of people to running cases. No other package in api/ uses Workflow handles.

Routes and pages call `gateway`, which uses `decisions` and `task_actions`. `requests` has the arguments and results of
the gateway, `refusals` records refused messages, and `temporal` calls Temporal with deadlines.
"""
