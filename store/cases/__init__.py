"""Cases, tasks and batches in SQL."""
