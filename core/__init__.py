"""Settings, logs, traces and the connection to Temporal, shared by all processes.

Metrics are in `api/services/metrics.py`.
"""
