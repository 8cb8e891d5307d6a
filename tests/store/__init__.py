"""The audit log, the projections and the ledger, on both databases."""
