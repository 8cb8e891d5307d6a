"""Submit cases, roll back cases, and reconcile the stored cases with their Workflows in Temporal."""
