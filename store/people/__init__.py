"""People, groups, passwords, sessions and absences in SQL."""
