"""Count what the dashboard shows, by SQL. `docs/operate/dashboard.md` explains each figure.

`flow.py` counts cases, `work.py` what people had to do and did; both within a `DashboardScope` and a `Span` of `scope.py`.
"""
