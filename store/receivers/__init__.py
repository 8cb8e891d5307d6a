"""Receivers of the shipped processes' effects: ledger, datasets, accounts, accepted risks."""
