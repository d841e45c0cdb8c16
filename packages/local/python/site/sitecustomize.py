"""What all processes of a local Airflow do when they start."""

import gc
import os
import socket

# they make many objects that live as long as they do: with fewer collections they start a tenth faster
gc.set_threshold(200_000, 20, 100)

_bind = socket.socket.bind


def bind(self, address):
    """The server for logs listens on all interfaces, which no setting changes."""
    if isinstance(address, tuple) and str(address[1]) == os.environ.get("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"):
        host = "127.0.0.1"
        if self.family == socket.AF_INET6:
            # where the address is one of IPv4, which asyncio excludes
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            host = "::ffff:127.0.0.1"
        address = (host, *address[1:])
    return _bind(self, address)


socket.socket.bind = bind
