"""What must never be seen of a simulated world."""

from __future__ import annotations

import base64
from urllib.parse import quote

from tap_rutter.simulator import World


def secrets(world: World) -> dict[str, str]:
    """Everything that must not be seen, by what it is."""
    pair = f"{world.client_id}:{world.client_secret}".encode()
    found = {"client secret": world.client_secret, "Basic": base64.b64encode(pair).decode()}
    for connection in world.connections.values():
        found[f"token of {connection.platform}"] = connection.access_token
        found[f"link of {connection.platform}"] = connection.link_url
        found[f"quoted link of {connection.platform}"] = quote(connection.link_url, safe="")
    return found
