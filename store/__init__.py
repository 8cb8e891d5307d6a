"""Contain all SQL of the product: no other package writes a query."""
