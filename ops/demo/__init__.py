"""The demo: its people, its money and its welcome."""
