"""Count what the dashboard shows, by SQL. `docs/operate/dashboard.md` explains each figure.

`flow.py` counts cases, `work.py` the work of people. Both count within a `DashboardScope` and a `Span` of `scope.py`.
"""
