"""Settings, logs, traces and the connection to Temporal, shared by all programs.

The metrics of the gateway are in `api/services/metrics.py`.
"""
