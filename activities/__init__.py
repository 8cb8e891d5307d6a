"""Effects: thin, do and undo side by side, dependencies by the constructor."""
