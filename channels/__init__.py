"""Channels that send messages to people, and the texts of the messages. Imports neither SQL nor Temporal."""
