"""The audit log in SQL, and its verification."""
