"""The channel that sends messages by mail, through an SMTP server."""
