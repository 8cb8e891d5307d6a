"""All SQL of Holdgate: no other package writes a query."""
