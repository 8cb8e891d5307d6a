"""The demo: its people, its money, and the text that explains it."""
