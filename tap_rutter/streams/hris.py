"""HR: the people of a business, by Rutter's own clock."""

from __future__ import annotations

from tap_rutter.streams.base import SyncedStream


class Departments(SyncedStream):
    """Departments in which people work."""

    name = "hris_departments"
    path = "/hris/departments"
    component = "HrisDepartment"


class Employees(SyncedStream):
    """People who work for the business."""

    name = "hris_employees"
    path = "/hris/employees"
    component = "HrisEmployee"


class Organizations(SyncedStream):
    """Organisations that employ the people."""

    name = "hris_organizations"
    path = "/hris/organizations"
    component = "HrisOrganization"
