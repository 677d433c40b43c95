-- works-with: 1

-- What the fleet reads: rows, columns and the state are of this version. The first claim says it.
alter table rutter_fleet.fleet add column api_version text;
