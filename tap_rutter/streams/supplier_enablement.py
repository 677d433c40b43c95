"""Supplier enablement: which vendors take cards, and how paying them by card goes."""

from __future__ import annotations

from typing import ClassVar

from tap_rutter.replication.base import Replication
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.snapshot import Snapshot
from tap_rutter.streams.base import SnapshotStream


class CardActivations(SnapshotStream):
    """How far paying each vendor by card has been set up."""

    name = "supplier_enablement_card_activations"
    path = "/supplier_enablement/card_activations"
    component = "CardActivation"
    is_optional = True
    changes = Changes.AT_ANY_TIME


class Enrichments(SnapshotStream):
    """Analyses of which vendors take cards."""

    name = "supplier_enablement_enrichments"
    path = "/supplier_enablement/enrichments"
    component = "SupplierEnrichment"
    is_optional = True
    changes = Changes.AT_ANY_TIME
    replication: ClassVar[Replication] = Snapshot(may_come_later=True)
