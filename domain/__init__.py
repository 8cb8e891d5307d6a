"""The rules of approvals as plain Python: no I/O, no clock, no server. `gate/` holds the rules of one approval step."""
