"""The API versions that the tap can read, newest first, and the addresses of the API."""

from __future__ import annotations

LATEST = "2024-08-31"
SUPPORTED: tuple[str, ...] = (LATEST, "2024-04-30", "2023-03-14", "2023-02-07")

BASE_URLS = {
    "production": "https://production.rutterapi.com/versioned",
    "sandbox": "https://sandbox.rutterapi.com/versioned",
}
