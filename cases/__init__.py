"""The life of cases: how they are submitted, rolled back, and reconciled with Temporal."""
