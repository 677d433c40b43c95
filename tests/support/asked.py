"""What an idle run should ask of a simulated world, counted as docs/requests.md tells it.

Written from that page and from the world, not from the tap's code.
"""

from __future__ import annotations

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

MOST_TO_RULE_OUT = 3
"""Requests that it takes at most to learn that a platform does not serve a connection's list."""


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


def lists_not_served(world: World) -> set[tuple[str, str]]:
    """Connection and path of what is answered with 404 if it is asked for."""
    return {
        (connection.id, path)
        for connection in readable(world)
        for stream in BY_DEFAULT
        if stream not in _WITHOUT_A_LIST
        for path in _asked_of(stream)
        if entity_of(path) not in (connection.unavailable_objects or ())
        and not serves(connection.platform, path)
    }


def _asked_of(stream: str) -> list[str]:
    if stream in _PARENTS:
        return [_PARENTS[stream]]
    if stream == "accounting_custom_fields":
        types = ("bills", "expenses", "invoices", "invoice_payments", "journal_entries")
        return [f"/accounting/{name}/custom_fields" for name in types]
    return [PATHS[stream]]
