"""Refusals in the form of Rutter's error bodies."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code

    def body(self) -> dict[str, Any]:
        return {
            "error_type": self.kind,
            "error_code": self.code,
            "error_message": str(self),
            "error_metadata": {"source": "rutter", "human_readable": str(self)},
        }


def connection_error(status: int, code: str, message: str) -> ApiError:
    # The codes of connection errors are documented, but not their statuses.
    return ApiError(status, "CONNECTION_ERROR", code, message)


def bad_request(code: str, message: str) -> ApiError:
    # The type and the codes are made up: the documented list does not reach that far.
    return ApiError(400, "INVALID_REQUEST", code, message)


def unauthorized(message: str) -> ApiError:
    return ApiError(401, "AUTHENTICATION_ERROR", "UNAUTHORIZED", message)


def unsupported(status: int, path: str, platform: str) -> ApiError:
    return ApiError(
        status,
        "INVALID_REQUEST",
        "ENDPOINT_NOT_SUPPORTED",
        f"{path} is not supported for platform {platform}",
    )


def unknown_path(path: str) -> ApiError:
    return ApiError(404, "INVALID_REQUEST", "ENDPOINT_NOT_FOUND", f"no endpoint {path}")


def gone(status: int, key: str) -> ApiError:
    return ApiError(status, "INVALID_REQUEST", "RESOURCE_NOT_FOUND", f"no resource with id {key}")


INVALID_CREDENTIALS = (401, "INVALID_CREDENTIALS", "Invalid credentials to access this connection.")
PRODUCT_NOT_READY = (
    "PRODUCT_NOT_READY",
    "the requested product is not yet ready. please try the request again later",
)
PRODUCT_NOT_ALLOWED = ("PRODUCT_NOT_ALLOWED", "You do not have access to use this endpoint")
CONNECTION_DISABLED = (
    "CONNECTION_DISABLED",
    "This connection was disabled because of a problem.",
)
NEEDS_UPDATE = (
    "NEEDS_UPDATE",
    "The merchant needs to re-authenticate this connection.",
)
