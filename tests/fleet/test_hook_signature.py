"""Signatures of webhooks: only what a secret signed is taken, whatever the header looks like."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.webhooks.signature import Verifier, secrets_of, signature_of, signatures

SECRET, OTHER = "a client secret", "the next client secret"
BODY = b'{"type": "BILL",  "code": "BILL_UPDATED"}'


def header(secret: str, body: bytes = BODY) -> bytes:
    """The header as Rutter's guide describes it, made without the code under test."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return b"sha256=" + base64.b64encode(digest)


def test_the_body_is_signed_as_it_came() -> None:
    assert Verifier([SECRET]).verifies([header(SECRET)], BODY)
    assert not Verifier([SECRET]).verifies([header(SECRET)], BODY.replace(b"  ", b" "))
    assert signature_of(SECRET, BODY).encode() == header(SECRET)


def test_either_secret_signs_while_one_replaces_the_other() -> None:
    both = Verifier([SECRET, OTHER])
    assert both.verifies([header(SECRET)], BODY)
    assert both.verifies([header(OTHER)], BODY)
    assert not Verifier([OTHER]).verifies([header(SECRET)], BODY)


@pytest.mark.parametrize(
    "values",
    [
        [b"", header(SECRET)],
        [b" " + header(SECRET) + b"\t"],
        [header("another") + b", " + header(SECRET)],
        [header("another"), header(SECRET)],
        [b"sha256=" + b"!" * 44, header(SECRET)],
        [b", ".join([header(SECRET), *[b"something else"] * 20])],
    ],
)
def test_one_value_of_several_suffices(values: Sequence[bytes]) -> None:
    assert Verifier([SECRET]).verifies(values, BODY)


def _wrong() -> dict[str, list[bytes]]:
    right = header(SECRET)
    digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).digest()
    return {
        "no header": [],
        "empty": [b""],
        "scheme alone": [b"sha256="],
        "no scheme": [right.removeprefix(b"sha256=")],
        "another scheme": [right.replace(b"sha256", b"sha1")],
        "hex": [b"sha256=" + digest.hex().encode()],
        "cut": [right[:-4]],
        "longer": [right + b"AAAA"],
        "not base64": [b"sha256=" + b"!" * 44],
        "not padded": [right[:-1] + b"A"],
        "of an empty body": [header(SECRET, b"")],
        "not ASCII": [b"sha256=" + "ä".encode() * 22],
        "after too many others": [header("another")] * 20 + [right],
    }


@pytest.mark.parametrize("values", _wrong().values(), ids=_wrong())
def test_what_is_not_signed_is_refused(values: list[bytes]) -> None:
    assert not Verifier([SECRET]).verifies(values, BODY)


@given(values=st.lists(st.binary(max_size=80), max_size=6), body=st.binary(max_size=40))
def test_any_bytes_are_refused_without_an_error(values: list[bytes], body: bytes) -> None:
    assert not Verifier([SECRET]).verifies(values, body)


@given(body=st.binary(max_size=200), secret=st.text(min_size=1, max_size=40))
def test_whatever_was_signed_is_verified(body: bytes, secret: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in secret):
        return
    assert Verifier([secret]).verifies([signature_of(secret, body).encode()], body)


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    # With each secret, although the first fits.
    assert Verifier([SECRET, OTHER]).verifies([header(SECRET)], BODY)
    assert len(compared) == 2


def test_no_more_is_compared_than_a_few_signatures() -> None:
    assert len(signatures([header(SECRET)] * 1_000)) == 4
    assert len(signatures([b",".join([header(SECRET)] * 1_000)])) == 4


def test_secrets_are_those_of_the_fleet_or_the_taps_own() -> None:
    tap = {"client_secret": SECRET}
    assert secrets_of(FleetConfig(tap_config=tap)) == (SECRET,)
    assert secrets_of(FleetConfig(tap_config=tap, webhook_secrets=(OTHER, "x"))) == (OTHER, "x")
    with pytest.raises(ConfigError, match=r"client_secret.*webhook_secrets"):
        secrets_of(FleetConfig(tap_config={"client_secret": ""}))
