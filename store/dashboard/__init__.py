"""What the dashboard counts, by SQL over the record and its projections; `docs/dashboard.md` says it for people.

`flow.py` counts cases, `work.py` what people had to do and did; both within a `Scope` and a `Span` of `scope.py`.
"""
