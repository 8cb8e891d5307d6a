"""Count what the dashboard shows, by SQL. `docs/operate/dashboard.md` explains each figure.

`ended_cases.py` counts cases, and `task_counts.py` the tasks of people. Both modules count within a `DashboardScope`
and a `Span` of `scope.py`.
"""
