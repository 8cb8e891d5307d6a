"""All SQL. Nothing outside this room writes a query."""
