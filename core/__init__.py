"""What operators see of the running processes: logs and traces. The numbers are in `api/services/metrics.py`."""
