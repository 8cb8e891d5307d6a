"""Channels that send messages to people, and the texts of the messages.

Modules of this package import neither SQL nor Temporal.
"""
