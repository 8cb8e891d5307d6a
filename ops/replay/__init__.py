"""Check before a deployment that open cases can go on with the code of this checkout.

The module `check` replays the histories of cases, `explain` says what differs.
"""
