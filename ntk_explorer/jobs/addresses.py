"""Which addresses of schedulers may be used: whoever reaches a scheduler can run programs on its workers."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ntk_explorer.errors import InvalidInput


def check_scheduler(address: str, *, allow_plain: bool = False) -> str:
    """The address of a Dask scheduler in full, if one may talk to it.

    Args:
        address: ``tcp://host:port`` or ``tls://host:port``; without a scheme, tcp.
        allow_plain: let tcp leave this machine, unencrypted and open to everybody on the way.

    Raises:
        InvalidInput: it is no such address, or it is plain tcp to another machine.
    """
    full = address if "://" in address else f"tcp://{address}"
    example = "Give it as tcp://127.0.0.1:8786 or tls://host:8786."
    try:
        parts = urlsplit(full)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput(f"{address!r} is not the address of a scheduler", example) from None
    if parts.scheme not in ("tcp", "tls") or not host or not port:
        raise InvalidInput(f"{address!r} is not the address of a scheduler", example)
    if parts.scheme == "tcp" and not allow_plain and not _loopback(host):
        raise InvalidInput(
            f"{address!r} is on another machine, and tcp:// protects neither the data nor the workers",
            "Use a scheduler with TLS (tls://…), a tunnel to this machine, or --allow-plain-tcp in a closed network.",
        )
    return full


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
