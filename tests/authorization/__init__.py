"""Who may do what: each route and page, asked by each person, held against docs/reference/permissions.md."""
