-- works-with: 1

-- A stream that fails while the others of its connection are read: its marks are left to the next
-- run of all streams, so that it holds up no webhook of the others.
alter table rutter_fleet.marks add column left_to_sweep boolean not null default false;

-- How many runs of all streams in a row have left out some of them.
alter table rutter_fleet.connections add column partial_runs integer not null default 0;
