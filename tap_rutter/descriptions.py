"""What fields mean where their name does not say it, in our words."""

from __future__ import annotations

FIELDS: dict[str, str] = {
    "connection_id": "The merchant connection that the row belongs to; stamped by the tap.",
    "id": "Rutter's id of the object, unique within its connection and stream.",
    "platform_id": "The id that the platform itself uses.",
    "platform_url": "Address of the object in the platform's own user interface.",
    "platform_data": "The platform's own form of the object; only with expand_platform_data.",
    "last_synced_at": "When Rutter last synced the row, by Rutter's clock.",
    "created_at": "When the object was created, by the platform's clock.",
    "updated_at": "When the object last changed, by the platform's clock.",
    "_rutter_extra": "Fields that this API version's schema does not know, as they came.",
    "_rutter_issues": "Values that did not fit their declared type, under their dotted path.",
}
