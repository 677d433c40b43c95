"""Settings: every bad value is refused before any request, by name, and never quoted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter import __version__, times
from tap_rutter.errors import ConfigError
from tap_rutter.settings import Settings
from tap_rutter.settings_schema import JSONSCHEMA

OPTIONAL = ("accounting_metrics", "commerce_metrics")
KEYS = {"client_id": "the-client", "client_secret": "s3cret-of-the-client"}
PROPERTIES = JSONSCHEMA["properties"]


def checked(*, with_credentials: bool = True, **config: Any) -> Settings:
    return Settings.from_config(
        {**KEYS, **config}, with_credentials=with_credentials, known_optional=OPTIONAL
    )


def error_for_response(**config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        checked(**config)
    return caught.value.message


# ---- the schema


def test_the_settings_are_those_of_the_documentation() -> None:
    assert list(PROPERTIES) == [
        "client_id",
        "client_secret",
        "environment",
        "api_url",
        "api_version",
        "access_tokens",
        "connections_file",
        "connection_ids",
        "platforms",
        "shard",
        "start_date",
        "lookback_hours",
        "window_days",
        "payout_days",
        "statement_months",
        "optional_streams",
        "concurrency",
        "page_size",
        "expand_platform_data",
        "expand_order_transactions",
        "attachment_urls",
        "force_fetch",
        "recheck_unserved_hours",
        "only_after_sync",
        "empty_tables",
        "on_connection_error",
        "request_timeout",
        "max_retry_seconds",
        "user_agent",
        "report_file",
    ]
    assert JSONSCHEMA["required"] == ["client_id", "client_secret"]


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_setting_is_described(name: str) -> None:
    schema = PROPERTIES[name]
    assert schema["title"]
    assert schema["description"].endswith(".")
    assert len(schema["description"]) > 20


def test_exactly_the_secrets_are_marked_as_such() -> None:
    secret = {name for name, schema in PROPERTIES.items() if schema.get("secret")}
    assert secret == {"client_secret", "access_tokens"}


# ---- defaults


def test_settings_that_are_not_given_have_their_defaults() -> None:
    settings = checked()
    assert settings == Settings(
        client_id="the-client",
        client_secret="s3cret-of-the-client",
        api_url="https://production.rutterapi.com/versioned",
        environment="production",
        api_version="2024-08-31",
        access_tokens=(),
        connections_file="",
        connection_ids=(),
        platforms=(),
        shard=None,
        start_ms=None,
        lookback_ms=24 * times.HOUR,
        window_ms=30 * times.DAY,
        payout_ms=60 * times.DAY,
        statement_months=12,
        recheck_ms=24 * times.HOUR,
        only_after_sync=False,
        optional_streams=(),
        concurrency=8,
        page_size=500,
        expand_platform_data=False,
        expand_order_transactions=False,
        attachment_urls=False,
        force_fetch=False,
        empty_tables=True,
        fail_on_connection_error=False,
        request_timeout=60,
        max_retry_seconds=600,
        user_agent=f"tap-rutter/{__version__}",
        report_file="",
    )


def test_null_is_as_good_as_nothing() -> None:
    nothing: dict[str, Any] = {name: None for name in PROPERTIES if name not in KEYS}
    assert checked(**nothing) == checked()


def test_empty_lists_choose_all() -> None:
    assert checked(access_tokens=[], connection_ids=[], platforms=[]) == checked()


# ---- what is taken

TAKEN = [
    ("environment", "sandbox", "environment", "sandbox"),
    ("environment", "sandbox", "api_url", "https://sandbox.rutterapi.com/versioned"),
    ("api_url", "http://localhost:8080/versioned/", "api_url", "http://localhost:8080/versioned"),
    ("api_url", " https://us.example.com/v ", "api_url", "https://us.example.com/v"),
    ("api_url", "http://[::1]:1/versioned", "api_url", "http://[::1]:1/versioned"),
    ("api_version", "2023-02-07", "api_version", "2023-02-07"),
    ("access_tokens", ["t1", " t2 ", "t1"], "access_tokens", ("t1", "t2")),
    ("connections_file", "/run/rows.json", "connections_file", "/run/rows.json"),
    ("connection_ids", ["b", "a", "b"], "connection_ids", ("b", "a")),
    ("platforms", ["shopify", "Xero"], "platforms", ("SHOPIFY", "XERO")),
    ("shard", "1/1", "shard", (1, 1)),
    ("shard", " 3/8 ", "shard", (3, 8)),
    ("start_date", "2024-01-31", "start_ms", 1_706_659_200_000),
    ("start_date", "2024-01-31T12:00:00Z", "start_ms", 1_706_702_400_000),
    ("start_date", "2024-01-31T13:00:00+01:00", "start_ms", 1_706_702_400_000),
    ("start_date", "1970-01-01", "start_ms", 0),
    ("lookback_hours", 0, "lookback_ms", 0),
    ("window_days", 1, "window_ms", times.DAY),
    ("payout_days", 0, "payout_ms", 0),
    ("statement_months", 0, "statement_months", 0),
    ("recheck_unserved_hours", 0, "recheck_ms", 0),
    ("recheck_unserved_hours", 2, "recheck_ms", 2 * times.HOUR),
    ("optional_streams", ["commerce_metrics"], "optional_streams", ("commerce_metrics",)),
    ("concurrency", 64, "concurrency", 64),
    ("page_size", 1, "page_size", 1),
    ("expand_platform_data", True, "expand_platform_data", True),
    ("expand_order_transactions", True, "expand_order_transactions", True),
    ("attachment_urls", True, "attachment_urls", True),
    ("force_fetch", True, "force_fetch", True),
    ("empty_tables", False, "empty_tables", False),
    ("on_connection_error", "fail", "fail_on_connection_error", True),
    ("request_timeout", 1, "request_timeout", 1),
    ("max_retry_seconds", 0, "max_retry_seconds", 0),
    ("user_agent", " acme/1.0 (ops@acme.test) ", "user_agent", "acme/1.0 (ops@acme.test)"),
    ("report_file", "/dev/fd/7", "report_file", "/dev/fd/7"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "field", "expected"), TAKEN)
def test_what_a_setting_takes(name: str, value: Any, field: str, expected: Any) -> None:
    assert getattr(checked(**{name: value}), field) == expected


def test_an_address_takes_the_place_of_the_environments() -> None:
    settings = checked(environment="sandbox", api_url="https://acme.rutterapi.com/versioned")
    assert settings.api_url == "https://acme.rutterapi.com/versioned"


# ---- what is refused

# Each value has a word of its own, so that a message that quotes it is noticed.
WORD = "qxzzy"
BAD: list[tuple[str, Any]] = [
    ("client_id", 17_171_717),
    ("client_id", [WORD]),
    ("client_secret", 17_171_717),
    ("client_secret", {"value": WORD}),
    ("environment", WORD),
    ("environment", "Production"),
    ("environment", ""),
    ("environment", 17_171_717),
    ("api_url", WORD),
    ("api_url", ""),
    ("connections_file", ""),
    ("connections_file", [WORD]),
    ("connections_file", f"{WORD}\0"),
    ("report_file", " "),
    ("report_file", 7),
    ("api_url", f"ftp://{WORD}.test"),
    ("api_url", f"//{WORD}.test/versioned"),
    ("api_url", f"{WORD}.test/versioned"),
    ("api_url", "https://"),
    ("api_url", f"https:///{WORD}"),
    ("api_url", f"https://{WORD}.test:99999/"),
    ("api_url", f"https://{WORD}.test:port/"),
    ("api_url", f"https://{WORD}.test:0/"),
    ("api_url", f"https://[{WORD}/"),
    ("api_url", f"https://user:{WORD}@host.test/"),
    ("api_url", f"https://{WORD}@host.test/"),
    ("api_url", f"https://@{WORD}.test/"),
    ("api_url", f"https://host.test/?key={WORD}"),
    ("api_url", f"https://{WORD}.test/versioned?"),
    ("api_url", f"https://{WORD}.test/versioned#"),
    ("api_url", f"https://host.test/#{WORD}"),
    ("api_url", f"https://{WORD} .test/"),
    ("api_url", f"https://{WORD}\n.test/"),
    ("api_url", f"https://{WORD}\t.test/"),
    ("api_url", 17_171_717),
    ("api_version", WORD),
    ("api_version", "2024-08-30"),
    ("api_version", "unstable"),
    ("api_version", 17_171_717),
    ("access_tokens", WORD),
    ("access_tokens", [WORD, 1]),
    ("access_tokens", [WORD, ""]),
    ("access_tokens", [WORD, " "]),
    ("access_tokens", [WORD, None]),
    ("access_tokens", {WORD: 1}),
    ("connection_ids", WORD),
    ("connection_ids", [[WORD]]),
    ("platforms", WORD),
    ("platforms", [17_171_717]),
    ("shard", WORD),
    ("shard", "0/2"),
    ("shard", "3/2"),
    ("shard", "1/0"),
    ("shard", "1"),
    ("shard", "1/2/3"),
    ("shard", "-1/2"),
    ("shard", "1.0/2"),
    ("shard", "01/2"),
    ("shard", "\u0661/\u0662"),
    ("shard", 17_171_717),
    ("start_date", WORD),
    ("start_date", ""),
    ("start_date", "2024-02-30"),
    ("start_date", "31.01.2024"),
    ("start_date", "1969-12-31"),
    ("start_date", 17_171_717),
    ("lookback_hours", -1),
    ("lookback_hours", 17_171_717),
    ("lookback_hours", "24"),
    ("lookback_hours", 24.5),
    ("lookback_hours", True),
    ("window_days", 0),
    ("window_days", 17_171_717),
    ("payout_days", -1),
    ("payout_days", WORD),
    ("statement_months", -1),
    ("statement_months", 17_171_717),
    ("recheck_unserved_hours", -1),
    ("recheck_unserved_hours", 17_171_717),
    ("recheck_unserved_hours", 1.5),
    ("only_after_sync", "true"),
    ("only_after_sync", 1),
    ("optional_streams", WORD),
    ("optional_streams", [WORD]),
    ("optional_streams", ["commerce_metrics", WORD]),
    ("optional_streams", ["accounting_invoices"]),
    ("concurrency", 0),
    ("concurrency", 17_171_717),
    ("concurrency", WORD),
    ("concurrency", 8.0),
    ("page_size", 0),
    ("page_size", 17_171_717),
    ("page_size", 501),
    ("expand_platform_data", "true"),
    ("expand_platform_data", 1),
    ("expand_order_transactions", "true"),
    ("attachment_urls", 1),
    ("force_fetch", WORD),
    ("force_fetch", 0),
    ("empty_tables", WORD),
    ("on_connection_error", WORD),
    ("on_connection_error", True),
    ("request_timeout", 0),
    ("request_timeout", 17_171_717),
    ("max_retry_seconds", -1),
    ("max_retry_seconds", 17_171_717),
    ("user_agent", f"{WORD}\r\nX-Evil: 1"),
    ("user_agent", f"{WORD}\x00"),
    ("user_agent", f"ünï {WORD}"),
    ("user_agent", " "),
    ("user_agent", 17_171_717),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_setting(name: str, value: Any) -> None:
    message = error_for_response(**{name: value})
    assert f"'{name}'" in message
    assert WORD not in message
    assert "17171717" not in message
    assert "\n" not in message


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_setting_is_checked(name: str) -> None:
    assert name in {entry for entry, _ in BAD}
    assert name in error_for_response(**{name: object()})


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("environment", ["production", "sandbox"]),
        ("api_version", ["2024-08-31", "2024-04-30", "2023-03-14", "2023-02-07"]),
        ("on_connection_error", ["warn", "fail"]),
        ("optional_streams", list(OPTIONAL)),
    ],
)
def test_an_unknown_choice_is_answered_with_the_known_ones(name: str, known: list[str]) -> None:
    message = error_for_response(**{name: [WORD] if name == "optional_streams" else WORD})
    assert all(choice in message for choice in known)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_keys_say_where_to_set_them(name: str, value: str | None) -> None:
    message = error_for_response(**{name: value})
    assert f"'{name}'" in message
    assert f"TAP_RUTTER_{name.upper()}" in message


def test_discovery_needs_no_keys_but_checks_the_rest() -> None:
    settings = Settings.from_config({}, with_credentials=False, known_optional=OPTIONAL)
    assert (settings.client_id, settings.client_secret) == ("", "")
    with pytest.raises(ConfigError, match="'page_size'"):
        Settings.from_config({"page_size": 0}, with_credentials=False, known_optional=OPTIONAL)


@pytest.mark.parametrize(
    ("name", "value"),
    [("emit_activate_version_messages", True), ("batch_config", {"encoding": {"format": WORD}})],
)
def test_what_would_break_a_promise_is_refused(name: str, value: Any) -> None:
    message = error_for_response(**{name: value})
    assert f"'{name}'" in message
    assert WORD not in message


def test_what_is_switched_off_breaks_no_promise() -> None:
    assert checked(emit_activate_version_messages=False, batch_config=None) == checked()


def test_settings_of_others_are_left_alone() -> None:
    assert checked(stream_maps={"a": None}, flattening_enabled=True) == checked()


def test_settings_show_no_secret() -> None:
    shown = repr(checked(access_tokens=["the-token-of-a-connection"]))
    assert "the-client" in shown
    assert KEYS["client_secret"] not in shown
    assert "the-token-of-a-connection" not in shown


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(PROPERTIES)), anything, max_size=4))
def test_any_configuration_is_taken_or_refused_in_words(config: dict[str, Any]) -> None:
    try:
        settings = checked(**config)
    except ConfigError as error:
        assert any(f"'{name}'" in error.message for name in config)
    else:
        assert settings.client_id
