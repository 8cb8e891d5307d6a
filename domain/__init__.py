"""The rules of approvals as plain Python: no I/O, no server; only `moments.py` reads the clock.

`gate/` holds the rules of one approval step.
"""
