"""What an idle run should ask of a simulated world, counted as docs/requests.md tells it.

Written from that page and from the world, not from the tap's code.
"""

from __future__ import annotations

from collections import Counter

from support.shown import BY_DEFAULT, OF_THE_RUN, PATHS, readable
from tap_rutter.simulator import Connection, World
from tap_rutter.simulator.platforms import entity_of, serves

# Streams that are not lists of their own.
_WITHOUT_A_LIST = {OF_THE_RUN, "connections", "connection_statuses"}

# Lists that are asked for more than once: refunds of expenses are another list, payouts are read
# again by the time of their arrival, custom fields are asked for by type of object.
_REQUESTS = {
    "accounting_expenses": 2,
    "commerce_payouts": 2,
    "accounting_custom_fields": 5,
}

# Streams that are asked for parent by parent, with the list of the parents.
_PARENTS = {
    "banking_bank_account_balances": "/banking/bank_accounts",
    "ads_campaign_dailies": "/ads/campaigns",
}

_WITNESSES = 2
"""Connections of a platform that are asked for what it does not serve."""


def idle_run(world: World) -> dict[str, int]:
    """Requests by what they are for, those for lists that a platform does not serve left out."""
    found = {
        "the list of connections": 1,
        "status": 2 * len(world.connections),
        "lists": 0,
        "further requests of a list": 0,
        "children": 0,
    }
    for connection in readable(world):
        for stream in BY_DEFAULT:
            path = PATHS[stream]
            if stream in _WITHOUT_A_LIST or not is_served(connection, path):
                continue
            if stream in _PARENTS:
                found["children"] += 1 + len(world.rows(connection.id, _PARENTS[stream]))
            else:
                found["lists"] += 1
                found["further requests of a list"] += _REQUESTS.get(stream, 1) - 1
    return found


def most_of_a_list(pages: int) -> float:
    """Requests that a long updated list takes at most, of so many pages."""
    return 1.5 * pages + 24


def is_served(connection: Connection, path: str) -> bool:
    """Whether a list is asked for and answered."""
    if entity_of(path) in (connection.unavailable_objects or ()):
        return False
    return serves(connection.platform, path)


def to_rule_out(world: World) -> int:
    """Requests that a first run makes to learn what platforms do not serve."""
    requests = 0
    for stream in BY_DEFAULT:
        path = _PARENTS.get(stream, PATHS[stream])
        if stream in _WITHOUT_A_LIST:
            continue
        asked = Counter(
            connection.platform
            for connection in readable(world)
            if entity_of(path) not in (connection.unavailable_objects or ())
            and not serves(connection.platform, path)
        )
        # Payouts are asked for once where nothing was read before.
        each = 1 if stream == "commerce_payouts" else _REQUESTS.get(stream, 1)
        requests += each * sum(min(number, _WITNESSES) for number in asked.values())
    return requests
