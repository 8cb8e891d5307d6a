"""Addresses for HTTP servers that do not check `Host`.

Programs of this machine can reach these addresses, browsers cannot. Any site can point its own name at 127.0.0.1 and
try each port (DNS rebinding). The ports here are on the list of the Fetch standard
(https://fetch.spec.whatwg.org/#port-blocking), to which no browser connects.
"""

import random
import socket

from core.errors import Mistake

PORTS = (1719, 1720, 1723, 2049, 3659, 4045, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 10080)
"""The ports of the list in the Fetch standard that a program can use without privileges.

The port 4190 of the list is missing here, because Chromium connects to it. `tests/browser/test_web_ui.py` tries all
ports in a browser.
"""
LOOPBACK = "127.0.0.1"


class HiddenAddresses:
    """The addresses of the Web UI and the metrics of the Temporal server.

    Call `choose` before each start of the server.
    """

    def __init__(self) -> None:
        self.ui_host, self.ui_port, self.metrics_port = LOOPBACK, 0, 0

    def choose(self) -> None:
        """Find two free ports.

        The ports can differ from those of the last start, because another run may use those now. Raises Mistake if none
        is free.
        """
        # On Linux all of 127.0.0.0/8 is this machine, so many runs fit and addresses cannot be guessed.
        own = ".".join(["127", *(str(random.SystemRandom().randrange(1, 255)) for _ in range(3))])
        self.ui_host = own if _is_free(own, 0) else LOOPBACK
        self.metrics_port = _free_port(LOOPBACK)
        self.ui_port = _free_port(self.ui_host, besides=self.metrics_port)


def _free_port(host: str, besides: int = 0) -> int:
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if port != besides and _is_free(host, port):
            return port
    raise Mistake(f"Temporal needs one of the ports {', '.join(map(str, PORTS))}, and none is free: stop what uses one")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError:
            return False
    return True
