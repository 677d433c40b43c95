-- Removes old rows of sync_report, which grows with every run, and keeps what the other scripts and
-- views go by. Whatever its age, there stay of each connection and stream:
--
-- - the newest row, also of each reason, for sync_freshness and sync_completeness;
-- - the newest that is complete;
-- - the two newest complete full reads, and the two newest of those that delivered rows, since
--   reconcile compares two, and can be told to pass over empty ones.
create or replace function pg_temp.prune_report(in_schema text, in_days numeric)
returns table (stream text, removed bigint, kept bigint)
language plpgsql as $$
#variable_conflict use_column
begin
    if in_days is null or in_days < 1 then
        raise exception 'days is 1 or more, not %', in_days;
    end if;
    perform pg_temp.open_warehouse(in_schema);
    if to_regclass(format('%I.sync_report', in_schema)) is null then
        return;
    end if;
    return query execute format(
        $query$
        with ranked as (
            select
                ctid as place,
                stream,
                started_at < (now() at time zone 'utc') - make_interval(secs => $1 * 86400) as old,
                complete,
                complete and full_read as is_full,
                complete and full_read and rows > 0 as is_filled,
                row_number() over (
                    partition by connection_id, stream, reason order by started_at desc
                ) as nth,
                row_number() over (
                    partition by connection_id, stream, complete order by started_at desc
                ) as nth_complete,
                row_number() over (
                    partition by connection_id, stream, complete and full_read
                    order by started_at desc
                ) as nth_full,
                row_number() over (
                    partition by connection_id, stream, complete and full_read and rows > 0
                    order by started_at desc
                ) as nth_filled
            from (
                select
                    ctid, connection_id, stream, reason, started_at, full_read, rows,
                    status = 'complete' as complete,
                    -- A start in the future comes from a clock that was wrong. reconcile does not
                    -- go by it, so it must not stand in the place of one that counts.
                    started_at > (now() at time zone 'utc') + interval '1 hour' as to_come
                from %1$I.sync_report
            ) as r
            where not to_come
        ),
        removed as (
            delete from %1$I.sync_report as t
            using ranked as r
            where t.ctid = r.place
                and r.old
                and r.nth > 1
                and not (coalesce(r.complete, false) and r.nth_complete = 1)
                and not (coalesce(r.is_full, false) and r.nth_full <= 2)
                and not (coalesce(r.is_filled, false) and r.nth_filled <= 2)
            returning t.stream
        )
        select
            r.stream,
            (select count(*) from removed as d where d.stream = r.stream),
            count(*) - (select count(*) from removed as d where d.stream = r.stream)
        from ranked as r
        group by r.stream
        order by r.stream
        $query$,
        in_schema
    ) using in_days;
end
$$;

select * from pg_temp.prune_report(:'schema', :'days'::numeric);
