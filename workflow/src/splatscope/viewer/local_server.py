"""viser's server, kept to this machine: surgical pictures are nobody else's business."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
from urllib.parse import urlsplit

import viser
from viser.infra import WebsockClientConnection

from splatscope.errors import InputError


class LocalServer(viser.ViserServer):
    """Serves the page on `host` and `port` (0: any free one).

    Other web pages in the same browser could connect as well: connections of another origin are closed before anything
    is sent. Nor is the scene ever offered through viser's public relay. Raises InputError where nothing can listen.
    """

    def __init__(self, host: str, port: int):
        _check_address(host, port)
        with contextlib.redirect_stdout(io.StringIO()):  # its own greeting
            super().__init__(host=host, port=port, label="SplatScope", verbose=False)
        self._websock_server.on_client_connect(self._refuse_strangers)
        self._websock_server.disconnect_all_clients()  # whoever came before; the page comes again by itself

    @property
    def url(self) -> str:
        host = self.get_host()
        shown = "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.get_port()}"

    def request_share_url(self, verbose: bool = True) -> None:
        """Never: any client may ask."""

    def stop(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            super().stop()

    async def _refuse_strangers(self, client: WebsockClientConnection) -> None:
        connection = self._websock_server._live_connections[client.client_id]
        headers = connection.request.headers
        if not is_own_page(headers.get("Origin"), headers.get("Host"), is_loopback(self.get_host())):
            await connection.close(1008, "another page's connection")


def is_own_page(origin: str | None, host: str | None, loopback_only: bool) -> bool:
    """Whether a browser's connection comes from the page served here. Programs, which send no origin, are let in.

    With `loopback_only` the page must have been opened by a name of this machine: any other name that leads here is a
    trick (DNS rebinding).
    """
    if origin is None:
        return True
    page = urlsplit(origin)
    return page.netloc == host and (not loopback_only or is_loopback(page.hostname or ""))


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_address(host: str, port: int) -> None:
    """viser would try a thousand ports in silence, and for ever on a host that is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}:{port}",
            found=str(error),
            expected="an address of this machine and a free port",
            remedy="choose another --port (0 takes any free one), or --host 127.0.0.1",
        ) from error
