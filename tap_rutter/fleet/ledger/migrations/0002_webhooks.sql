-- works-with: 1

-- How old the deleted object's last state is, and when the deletion was brought to the warehouse.
alter table rutter_fleet.deletions
    add column state_at timestamptz,
    add column copied_at timestamptz;
create index deletions_to_copy on rutter_fleet.deletions (received_at) where copied_at is null;
create index deletions_copied on rutter_fleet.deletions (copied_at) where copied_at is not null;

-- A webhook said that a connection stands otherwise: the next sweep, which lists them, is due.
alter table rutter_fleet.fleet add column listing_wanted_at timestamptz;
