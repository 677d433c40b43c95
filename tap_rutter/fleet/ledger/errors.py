"""What can go wrong with the ledger. No message quotes an address or a password."""

from __future__ import annotations

from uuid import UUID


class LedgerError(Exception):
    """The ledger could not do it; the message says what to do."""


class LedgerUnavailable(LedgerError):
    """The database does not answer, and went on not answering while the call was tried again."""


class OtherApiVersion(LedgerError):
    """Whoever asks is set to another API version than the fleet reads. Nothing was claimed."""

    def __init__(self, reads: str | None, given: str) -> None:
        super().__init__(
            f"The fleet reads API version {reads}, and this configuration says {given}: with it,"
            " nothing is claimed and no table is changed. Set 'api_version' of the tap to"
            f" {reads}, or bring the whole fleet to {given}:"
            " rutterctl fleet prepare --new-api-version"
        )


class ClaimLost(LedgerError):
    """The claim has ended: its lease ran out, or an operator took it. Nothing was written."""

    def __init__(self, claim_id: UUID) -> None:
        super().__init__(
            f"The claim {claim_id} is not held any more: its lease has run out, or it was ended."
            " Its run must be stopped; its connections are run again by whoever claims them next."
        )
        self.claim_id = claim_id
