"""A value that is the name of a variable is refused: only Meltano replaces it."""

from __future__ import annotations

from typing import Any

import pytest

from tap_rutter.config import check_variables_are_replaced
from tap_rutter.errors import ConfigError
from tap_rutter.tap import TapRutter


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"stream_map_config": {"hash_key": "$RUTTER_HASH_KEY"}}, "stream_map_config.hash_key"),
        ({"stream_map_config": {"hash_key": "${rutter_key}"}}, "stream_map_config.hash_key"),
        ({"client_secret": "$RUTTER_CLIENT_SECRET"}, "client_secret"),
    ],
)
def test_the_name_of_a_variable_is_no_value(config: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError, match=where) as refused:
        check_variables_are_replaced(config)
    assert "rutter_" not in str(refused.value).lower()  # never the value


@pytest.mark.parametrize(
    "config",
    [
        {"stream_map_config": {"hash_key": "$aLongText$"}},
        {"stream_map_config": {"hash_key": None}},
        {"client_secret": "a$RUTTER"},
        {"stream_maps": {"commerce_orders": None}},
        {"concurrency": 4},
    ],
)
def test_other_values_are_taken(config: dict[str, Any]) -> None:
    check_variables_are_replaced(config)


def test_the_tap_refuses_it() -> None:
    with pytest.raises(ConfigError, match=r"stream_map_config\.hash_key"):
        TapRutter(
            config={
                "client_id": "id",
                "client_secret": "secret",
                "stream_map_config": {"hash_key": "$RUTTER_HASH_KEY"},
            }
        )
