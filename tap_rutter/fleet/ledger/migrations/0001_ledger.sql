-- works-with: 1
-- The line above names the oldest number that code may know and still work with this ledger.

create schema if not exists rutter_fleet;

-- One row per connection: what it needs, who runs it, how it went. It holds no secret and no state.
--
-- A need is a time: since when something is wanted. What is due follows from the needs, the
-- back-off and the status, so those columns are generated and cannot contradict each other.
create table rutter_fleet.connections (
    connection_id text primary key,
    platform text not null,
    name text,
    rutter_status text not null,
    status text not null default 'active' check (status in ('active', 'parked', 'removed')),
    parked_by text check (parked_by in ('status', 'unlisted', 'failures', 'operator')),
    parked_reason text,
    status_since timestamptz not null default clock_timestamp(),
    added_at timestamptz not null default clock_timestamp(),
    unlisted_since timestamptz,

    -- The needs. The first three are the oldest of its marks that no run has taken.
    marked_at timestamptz,
    whole_at timestamptz,
    grown_at timestamptz,
    sweep_at timestamptz,
    full_at timestamptz,
    -- After a failure, and so that a busy connection does not run without a break. One for marks
    -- and one for runs of all streams: a list that always fails must not hold up the webhooks of
    -- all others, and a run of marks that succeeds does not make up for it.
    fresh_not_before timestamptz not null default '-infinity',
    sweep_not_before timestamptz not null default '-infinity',
    fresh_failures integer not null default 0,
    sweep_failures integer not null default 0,

    -- What its last runs say about the next one. Seconds do not count the start of a run.
    read_once boolean not null default false,
    heavy boolean not null default false,
    large boolean not null default true,
    fresh_seconds real,
    fresh_rows bigint,
    sweep_seconds real,
    sweep_rows bigint,
    full_seconds real,
    full_rows bigint,

    claim_id uuid,
    started_at timestamptz,
    finished_at timestamptz,
    last_seconds real,
    swept_at timestamptz,
    full_read_at timestamptz,
    lost integer not null default 0,
    crowd integer,
    last_fault text,
    last_reason text,
    last_message text,

    -- Everything of it is read in the bulk lane: a first read, many new rows, history that grew.
    bulk boolean not null generated always as (
        not read_once or heavy or (grown_at is not null and large)
    ) stored,
    fresh_due timestamptz generated always as (
        case when status = 'active' and read_once
            and (marked_at is not null or (whole_at is not null and not heavy))
        then greatest(least(marked_at, case when not heavy then whole_at end), fresh_not_before)
        end
    ) stored,
    sweep_due timestamptz generated always as (
        case when status = 'active'
            and (
                sweep_at is not null or grown_at is not null
                or (whole_at is not null and (heavy or not read_once))
                or (marked_at is not null and not read_once)
            )
        then greatest(
            least(
                sweep_at, grown_at,
                case when heavy or not read_once then whole_at end,
                case when not read_once then marked_at end
            ),
            sweep_not_before
        ) end
    ) stored,
    full_due timestamptz generated always as (
        case when status = 'active' and read_once and full_at is not null
        then greatest(full_at, sweep_not_before) end
    ) stored
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- A claim takes one platform, oldest first; connections that are claimed stand in none of these.
create index connections_fresh on rutter_fleet.connections (platform, fresh_due, connection_id)
    where claim_id is null and fresh_due is not null;
create index connections_sweep on rutter_fleet.connections (platform, sweep_due, connection_id)
    where claim_id is null and sweep_due is not null and not bulk;
create index connections_bulk on rutter_fleet.connections (platform, sweep_due, connection_id)
    where claim_id is null and sweep_due is not null and bulk;
create index connections_full on rutter_fleet.connections (platform, full_due, connection_id)
    where claim_id is null and full_due is not null;
create index connections_claimed on rutter_fleet.connections (claim_id) where claim_id is not null;

-- What is dirty. A claim moves seq, since and first_at into the columns beside them; what comes
-- while the run works raises seq and fills the first ones again, so it is never cleared with it.
create table rutter_fleet.marks (
    connection_id text not null,
    stream text not null,
    -- 'since': changes from a time on. 'plain': no time is known. 'grown': older rows have come.
    kind text not null check (kind in ('since', 'plain', 'grown')),
    seq bigint not null,
    since timestamptz,
    first_at timestamptz,
    moved_at timestamptz not null,
    claimed_seq bigint,
    claimed_since timestamptz,
    claimed_first_at timestamptz,
    primary key (connection_id, stream, kind)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- One for all marks: a number never comes twice, even for a mark that was cleared in between.
create sequence rutter_fleet.mark_seq;

create table rutter_fleet.states (
    connection_id text primary key,
    state jsonb not null,
    saved_at timestamptz not null,
    claim_id uuid
);

-- What the state remembers of a platform and not of a connection. '*' is for platforms to come.
create table rutter_fleet.platforms (
    platform text primary key,
    shared jsonb not null
);

create table rutter_fleet.claims (
    claim_id uuid primary key,
    worker text not null,
    lane text not null,
    platform text not null,
    full_read boolean not null,
    members integer not null,
    started_at timestamptz not null,
    expires_at timestamptz not null,
    -- The platform's part of the state as the run has it, to tell what the run itself changed.
    shared jsonb not null default '{}',
    -- An ended claim stays a while, so that a call that is made again finds out how it went.
    ended_at timestamptz,
    ended text check (ended in ('finished', 'released', 'buried'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index claims_expiry on rutter_fleet.claims (expires_at) where ended_at is null;
create index claims_ended on rutter_fleet.claims (ended_at) where ended_at is not null;

-- One row: what holds for the whole fleet.
create table rutter_fleet.fleet (
    one boolean primary key default true check (one),
    paused_until timestamptz,
    pause_reason text,
    sweep_taken_at timestamptz,
    listed_at timestamptz,
    speed real not null default 1,
    slowed_at timestamptz,
    -- What a run costs before its first request; learnt.
    start_seconds real not null default 1
);
insert into rutter_fleet.fleet default values;

-- Whether a doorbell was rung for a lane since it was last idle.
create table rutter_fleet.lanes (
    lane text primary key,
    rung boolean not null default false
);
insert into rutter_fleet.lanes (lane) values ('fresh'), ('sweep'), ('bulk');

create table rutter_fleet.prepared (
    schema_hash text primary key,
    prepared_at timestamptz not null
);

-- Leases that are not of connections. A lease, not a lock: it ends by itself if its holder does.
create table rutter_fleet.leases (
    name text primary key,
    holder uuid not null,
    expires_at timestamptz not null
);

-- One per webhook and stream that it may be about: some types stand for several.
create table rutter_fleet.deletions (
    body_sha256 text not null,
    stream text not null,
    connection_id text not null,
    object_id text not null,
    deleted_at timestamptz,
    received_at timestamptz not null,
    primary key (body_sha256, stream)
);
create index deletions_received on rutter_fleet.deletions (received_at);
create index deletions_connection on rutter_fleet.deletions (connection_id);

-- The columns of the stream deleted_objects.
create view rutter_fleet.deleted_objects as
select
    connection_id,
    body_sha256 as id,
    null::text as resource,
    stream,
    object_id,
    coalesce(deleted_at, received_at) as deleted_at,
    received_at as last_synced_at,
    null::jsonb as data
from rutter_fleet.deletions;
