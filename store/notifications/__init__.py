"""Notifications in SQL, until a channel has sent them."""
