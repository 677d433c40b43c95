"""Commerce: shops and payment providers, on the platforms' clocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from tap_rutter.api.pages import Page
from tap_rutter.records.conform import derived_key
from tap_rutter.replication.base import Partition
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.snapshot import Snapshot, utc_day
from tap_rutter.replication.updated import Updated
from tap_rutter.schema.json_schema import ARRAY, JSONSchema
from tap_rutter.streams.base import (
    MadeStream,
    RutterTap,
    SnapshotStream,
    UpdatedStream,
    integer_columns,
    text_columns,
)


class CommerceStream(UpdatedStream):
    """A commerce list: newest first; another sort order cannot be requested."""

    is_commerce = True


class Orders(CommerceStream):
    """What customers ordered in a shop, with lines, fulfilments and refunds."""

    name = "commerce_orders"
    path = "/orders"
    component = "Order"
    rutter_object = "order"


class Products(CommerceStream):
    """What a shop sells, with its variants."""

    name = "commerce_products"
    path = "/products"
    component = "Product"
    rutter_object = "product"


class Customers(CommerceStream):
    """Customers of a shop; on some platforms they have no id or no time."""

    name = "commerce_customers"
    path = "/customers"
    component = "CommerceCustomer"
    rutter_object = "commerce_customer"


class CustomerGroups(CommerceStream):
    """Groups of a shop's customers."""

    name = "commerce_customer_groups"
    path = "/customer_groups"
    component = "CustomerGroup"
    rutter_object = "customer_group"


class Transactions(CommerceStream):
    """Payments, refunds and fees of a shop or payment provider."""

    name = "commerce_transactions"
    path = "/transactions"
    component = "CommerceTransaction"
    rutter_object = "transaction"
    # "Most recent first", says the API, but not by which of its times.
    replication = Updated(is_sorted=False)


class Subscriptions(CommerceStream):
    """What customers pay for regularly, such as each month."""

    name = "commerce_subscriptions"
    path = "/subscriptions"
    component = "Subscription"
    rutter_object = "subscription"


class Payouts(CommerceStream):
    """Money that a platform paid out to the merchant, with the transactions it consists of."""

    name = "commerce_payouts"
    path = "/payouts"
    component = "Payout"
    rutter_object = "payout"
    replication_key = "created_at"
    # A payout's status changes, and the API has no filter for changes: recent ones are read again.
    replication = Updated(
        low="created_at_min",
        high="created_at_max",
        again=("created_at_min", "arrival_at_min"),
        is_sorted=False,  # they come newest updated_at first
    )


class Store(SnapshotStream):
    """The shop itself."""

    name = "commerce_store"
    path = "/store"
    component = "Store"
    rutter_object = "store"
    is_commerce = True
    replication = Snapshot(single=True)


class Balance(SnapshotStream):
    """What a payment provider holds for the merchant, a row for each currency and day of a run."""

    name = "commerce_balance"
    path = "/balance"
    component = "Balance"
    primary_keys = ("connection_id", "date", "iso_currency_code")
    is_commerce = True
    changes = Changes.AT_ANY_TIME  # a day that is not read has no row, for ever
    replication = Snapshot(single=True)

    @classmethod
    def fields(cls, tap: RutterTap) -> dict[str, Any]:
        """The balance's fields, and the day on which it was read."""
        date = {"type": ["string", "null"], "format": "date-time"}
        return {"date": date, **super().fields(tap)}

    def transform_row(
        self,
        row: dict[str, Any],
        page: Page,
        partition: Partition | None,  # noqa: ARG002 - the base's signature
    ) -> Iterable[dict[str, Any]]:
        """The row with the UTC day of the run, so that the table keeps one row a day."""
        return ({**row, "date": utc_day(page.received_ms)},)


class ProductCategories(MadeStream):
    """Categories of a shop's products, as flat rows: the API gives a tree."""

    name = "commerce_product_categories"
    path = "/products/categories"
    rutter_object = "categories"
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns(["id", "name", "parent_id"]),
        "path": ARRAY,
        **integer_columns(["position"]),
    }

    def transform_row(
        self,
        row: dict[str, Any],
        page: Page,
        partition: Partition | None,
    ) -> Iterable[dict[str, Any]]:
        """A category of the first level and all below it, each with its path from the root."""
        connection_id = partition.connection.id if partition else None
        position = page.ids.index(row.get("id"))
        rest: list[tuple[dict[str, Any], str | None, tuple[str, ...], int]]
        rest = [(row, None, (), position)]
        while rest:
            category, parent, path, place = rest.pop()
            flat = {
                "id": _identity(category),
                "name": category.get("name"),
                "parent_id": parent,
                "position": place,
            }
            # A category without an id gets the id that its row will have, for its children.
            identity = _identity(category) or derived_key(self.name, connection_id, flat)
            way = (*path, identity)
            yield {**flat, "path": list(way)}
            children = category.get("children")
            children = children if isinstance(children, list) else []
            rest += [
                (child, identity, way, index)
                for index, child in reversed(list(enumerate(children)))
                if isinstance(child, dict) and _identity(child) not in way
            ]


def _identity(category: Mapping[str, Any]) -> str | None:
    given = category.get("id")
    return None if given is None else str(given)
