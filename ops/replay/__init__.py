"""Check before a deployment that open cases can go on with the code of this checkout.

`check` replays their histories, `explain` says what differs.
"""
