"""Receivers, which carry out the effects of shipped processes: ledger, datasets, accounts, accepted risks."""
