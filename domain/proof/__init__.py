"""Signatures of messages to Workflows: the text that is signed (`envelope`), and the keys that sign it (`keys`)."""
