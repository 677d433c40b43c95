"""Whether a webhook comes from Rutter: its signature over the raw body.

``X-Rutter-Signature: sha256=`` and the base64 of an HMAC-SHA256 over the body as it came, keyed
with the organisation's client secret.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig

HEADER = b"x-rutter-signature"
_SCHEME = b"sha256="
_DIGITS = 44  # base64 of 32 bytes
_MOST_SIGNATURES = 4
"""A header may come more than once, or a proxy may have joined several; nobody sends more."""


def secrets_of(config: FleetConfig) -> tuple[str, ...]:
    """The secrets, any of which may have signed: ``webhook_secrets``, or the tap's client secret.

    Raises:
        ConfigError: when there is none.
    """
    secrets = config.webhook_secrets
    client_secret = config.tap_config.get("client_secret")
    if not secrets and isinstance(client_secret, str) and client_secret:
        secrets = (client_secret,)
    if not secrets:
        raise ConfigError(
            "Webhooks cannot be verified: set 'client_secret' in the tap's settings, or"
            " 'webhook_secrets' of [fleet]."
        )
    return secrets


def signature_of(secret: str, body: bytes) -> str:
    """What the header says of a body that this secret signed."""
    digest = hmac.digest(secret.encode(), body, hashlib.sha256)
    return (_SCHEME + binascii.b2a_base64(digest, newline=False)).decode()


class Verifier:
    """Knows the secrets, several while one is being replaced by another."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = tuple(secret.encode() for secret in secrets)

    def verifies(self, headers: Iterable[bytes], body: bytes) -> bool:
        """Whether one of the header's values signs the body with one of the secrets.

        How long it takes does not depend on which of them fits, nor on where two digests differ.
        """
        given = signatures(headers)
        if not given:
            return False
        fits = False
        for key in self._keys:
            digest = hmac.digest(key, body, hashlib.sha256)
            for signature in given:
                fits |= hmac.compare_digest(digest, signature)
        return fits


def signatures(headers: Iterable[bytes]) -> list[bytes]:
    """The digests that the header's values bear; what is not a signature is left out.

    Nothing to be compared means that the body need not even be read.
    """
    values = [part.strip(b" \t") for value in headers for part in value.split(b",", 8)]
    found: list[bytes] = []
    for value in values:
        text = value.removeprefix(_SCHEME)
        if text == value or len(text) != _DIGITS or len(found) == _MOST_SIGNATURES:
            continue
        try:
            digest = binascii.a2b_base64(text, strict_mode=True)
        except (binascii.Error, ValueError):
            continue
        if len(digest) == hashlib.sha256().digest_size:
            found.append(digest)
    return found
