# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 with a certificate on either side, and nothing else."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from so101_link.errors import KeysError
from so101_link.keys.folder import NAME_OF_SERVER, KeyFolder


def server_context(keys: KeyFolder) -> ssl.SSLContext:
    """What the server accepts: robots whose certificate the same authority has signed. Raises KeysError."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, keys)
    context.num_tickets = 0  # a resumed connection would not show its certificate, which may be revoked by then
    return context


def client_context(keys: KeyFolder) -> ssl.SSLContext:
    """What a robot accepts: the server's certificate, wherever that server is. Raises KeysError."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, keys)
    context.check_hostname = True  # against NAME_OF_SERVER, which `wrap_client` gives, not against an address
    return context


def wrap_client(context: ssl.SSLContext, connection: socket.socket) -> ssl.SSLSocket:
    """Put TLS over a connected socket; the handshake is still to be done."""
    return context.wrap_socket(connection, server_hostname=NAME_OF_SERVER, do_handshake_on_connect=False)


def _context(protocol: ssl._SSLMethod, keys: KeyFolder) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(keys.ca)
        context.load_cert_chain(keys.certificate, keys.private_key)
    except (OSError, ssl.SSLError) as error:
        raise KeysError(f"{Path(keys.certificate).parent}: {error}: copy the whole folder again") from error
    return context
