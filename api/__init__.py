"""The gateway: HTTP in, Temporal out. Routes parse and render; `gateway.py` talks to the cases."""
