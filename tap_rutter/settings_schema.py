"""The settings as JSON Schema: their names, types, defaults, limits and descriptions.

``settings.py`` checks a configuration against it, and gives a run its settings.
"""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

from tap_rutter import __version__
from tap_rutter.versions import BASE_URLS, LATEST, SUPPORTED

VARIABLE_PREFIX = "TAP_RUTTER_"
"""The prefix of environment variables that hold settings."""

ENVIRONMENTS = tuple(BASE_URLS)
ON_CONNECTION_ERROR = ("warn", "fail")
LARGEST_PAGE = 500  # Rutter's documented maximum; what happens above it is not known

JSONSCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "client_id",
        th.StringType,
        required=True,
        title="Client ID",
        description="Your organisation's client id, from Rutter's dashboard under API keys.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        required=True,
        secret=True,
        title="Client secret",
        description="The secret that belongs to the client id and to the same environment.",
    ),
    th.Property(
        "environment",
        th.StringType,
        default="production",
        allowed_values=list(ENVIRONMENTS),
        title="Environment",
        description="Which of Rutter's environments the keys belong to.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        title="API URL",
        description="Base address that takes the place of the environment's: your organisation's"
        " own subdomain, or a simulator. It ends in /versioned.",
    ),
    th.Property(
        "api_version",
        th.StringType,
        default=LATEST,
        allowed_values=list(SUPPORTED),
        title="API version",
        description="Version of Rutter's API to speak; it decides names and types of columns.",
    ),
    th.Property(
        "access_tokens",
        th.ArrayType(th.StringType),
        secret=True,
        title="Access tokens",
        description="Read the connections of these access tokens instead of asking Rutter for"
        " the list of all connections.",
    ),
    th.Property(
        "connections_file",
        th.StringType,
        title="Connections file",
        description="Path of a JSON file that holds the connections to read, with their access"
        " tokens, in the place of Rutter's list. Only its owner may be able to read it.",
    ),
    th.Property(
        "connection_ids",
        th.ArrayType(th.StringType),
        title="Connection IDs",
        description="Read only these connections.",
    ),
    th.Property(
        "platforms",
        th.ArrayType(th.StringType),
        title="Platforms",
        description="Read only connections of these platforms, such as QUICKBOOKS or SHOPIFY.",
    ),
    th.Property(
        "shard",
        th.StringType,
        title="Shard",
        description="Which part of the connections this process reads, as 'k/n': the k-th (from"
        " 1) of n. A connection always falls into the same part.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="How far back a first read goes; without it, as far as Rutter has data, of"
        " financial statements at most ten years.",
    ),
    th.Property(
        "lookback_hours",
        th.IntegerType,
        default=24,
        title="Lookback (hours)",
        description="How much earlier than its bookmark an updated stream starts, since Rutter can"
        " show a row long after the time in its updated_at.",
    ),
    th.Property(
        "window_days",
        th.IntegerType,
        default=30,
        title="Longest window (days)",
        description="Longest time window in which a large updated stream is read. Where that would"
        " hold less than a page and a half of rows, windows are longer, to save requests.",
    ),
    th.Property(
        "payout_days",
        th.IntegerType,
        default=60,
        title="Payouts read again (days)",
        description="How far back from the last read payouts are read again at each run, since"
        " their status changes and they cannot be asked for by update time.",
    ),
    th.Property(
        "statement_months",
        th.IntegerType,
        default=12,
        title="Statements read again (months)",
        description="How many months of financial statements are read again at each run, since"
        " past months can be restated.",
    ),
    th.Property(
        "optional_streams",
        th.ArrayType(th.StringType),
        default=[],
        title="Optional streams",
        description="Streams to add to the catalog that cost many requests or hold bank details.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType,
        default=8,
        title="Concurrency",
        description="How many requests are made at once.",
    ),
    th.Property(
        "page_size",
        th.IntegerType,
        default=LARGEST_PAGE,
        title="Page size",
        description="Rows per page, 1 to 500.",
    ),
    th.Property(
        "expand_platform_data",
        th.BooleanType,
        default=False,
        title="Expand platform data",
        description="Ask for the platform's own form of each row, in the column platform_data.",
    ),
    th.Property(
        "expand_order_transactions",
        th.BooleanType,
        default=False,
        title="Expand order transactions",
        description="Ask for each order's payments with it, in the column transactions: for"
        " platforms that have no list of transactions of its own.",
    ),
    th.Property(
        "attachment_urls",
        th.BooleanType,
        default=False,
        title="Attachment URLs",
        description="Keep the links to attached files, in the column file_url. They live for a"
        " short time only, and whoever has one can read the merchant's receipts and invoices.",
    ),
    th.Property(
        "force_fetch",
        th.BooleanType,
        default=False,
        title="Force fetch",
        description="Read connections whose first sync at Rutter is still going on; what they"
        " give may be incomplete and moves no bookmark.",
    ),
    th.Property(
        "recheck_unserved_hours",
        th.IntegerType,
        default=24,
        title="Ask again for what is not served (hours)",
        description="How long a list that a platform does not serve is not asked for again. With 0"
        " it is asked for at every run.",
    ),
    th.Property(
        "only_after_sync",
        th.BooleanType,
        default=False,
        title="Only after a sync",
        description="Do not read a connection that Rutter has not synced since it was last read,"
        " except on platforms with updates in real time (QuickBooks Online, Xero).",
    ),
    th.Property(
        "empty_tables",
        th.BooleanType,
        default=True,
        title="Empty tables",
        description="Declare streams without rows as well, so that their tables are there. Where"
        " they are, a run that finds little new ends sooner without.",
    ),
    th.Property(
        "on_connection_error",
        th.StringType,
        default="warn",
        allowed_values=list(ON_CONNECTION_ERROR),
        title="On connection error",
        description="Whether connections that are disabled or need to sign in again only warn, or"
        " make the run end with exit code 1.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType,
        default=60,
        title="Request timeout (seconds)",
        description="How long a single request may wait for an answer.",
    ),
    th.Property(
        "max_retry_seconds",
        th.IntegerType,
        default=600,
        title="Longest retrying (seconds)",
        description="How long one request is tried again before its stream fails for that"
        " connection.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        default=f"tap-rutter/{__version__}",
        title="User agent",
        description="The User-Agent header of all requests.",
    ),
    th.Property(
        "report_file",
        th.StringType,
        title="Report file",
        description="Path of a file that the run's report is written to while the run goes on, one"
        " JSON object a line, for a program that runs the tap.",
    ),
).to_dict()

ENUMS: dict[str, tuple[str, ...]] = {
    "environment": ENVIRONMENTS,
    "api_version": SUPPORTED,
    "on_connection_error": ON_CONNECTION_ERROR,
}
"""The allowed values of a setting; empty if it is not a choice."""

RANGES: dict[str, tuple[int, int]] = {
    "lookback_hours": (0, 24 * 366),
    "window_days": (1, 366),
    "payout_days": (0, 3660),
    "statement_months": (0, 120),
    "recheck_unserved_hours": (0, 24 * 366),
    "concurrency": (1, 64),
    "page_size": (1, LARGEST_PAGE),
    "request_timeout": (1, 3600),
    "max_retry_seconds": (0, 86_400),
}
"""The smallest and the largest allowed value of a setting."""

REFUSED = {
    "emit_activate_version_messages": "it would delete the rows of connections that a run does not"
    " read; see deleted_objects for deletions",
    "batch_config": "records leave as RECORD messages only",
}
"""Settings of the SDK that would break a promise of this tap."""
