"""A simulated Rutter API on this machine: stateful, seeded, with its own clock.

Rutter's sandbox does no incremental sync, so updates, late rows, deletions and faults cannot be
tried there. With the simulator they can::

    from tap_rutter.simulator import Simulator, standard_world

    world = standard_world(seed=1)
    with Simulator(world) as sim:
        ...  # a client that uses sim.api_url, sim.client_id, sim.client_secret
        orders = world.rows(connection_id, "/orders")
        world.update(connection_id, "/orders", orders[0]["id"], status="archived")
        world.advance(3600)

It is written from what is known about the API, not from the tap, and needs only the standard
library. ``python -m tap_rutter.simulator`` starts one.
"""

from tap_rutter.simulator.bulk import bulk_world
from tap_rutter.simulator.connection import Batch, Connection
from tap_rutter.simulator.faults import Fault, Faults
from tap_rutter.simulator.request import LoggedRequest, Request, RequestLog
from tap_rutter.simulator.server import Simulator
from tap_rutter.simulator.switches import SWITCHES, Switches
from tap_rutter.simulator.world import World
from tap_rutter.simulator.worlds import standard_world

__all__ = [
    "SWITCHES",
    "Batch",
    "Connection",
    "Fault",
    "Faults",
    "LoggedRequest",
    "Request",
    "RequestLog",
    "Simulator",
    "Switches",
    "World",
    "bulk_world",
    "standard_world",
]
