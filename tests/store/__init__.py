"""The record, the projections and the ledger, on both databases."""
