-- Marks rows that the API no longer shows, for platforms that do not report deletions.
--
-- The evidence is per connection and stream: two complete full reads in a row that did not deliver
-- the row. One is not enough, since a row can be missing from one answer and be back in the next.
-- deleted_at is the start of the first of the two. A marked row that comes again loses its mark.
-- Marks made by deletion events or webhooks (deleted_by = 'event', 'webhook') are never touched.
create or replace function pg_temp.reconcile(
    in_schema text, only_connection text, ignore_empty boolean
)
returns table (stream text, connections bigint, marked bigint, restored bigint, note text)
language plpgsql as $$
#variable_conflict use_column
declare
    loaded record;
    reads text;
    reconciled text[];
    unlanded bigint;
begin
    perform pg_temp.open_warehouse(in_schema);
    if to_regclass(format('%I.sync_report', in_schema)) is null then
        return query select null::text, 0::bigint, 0::bigint, 0::bigint, 'no table sync_report';
        return;
    end if;

    -- The two newest complete full reads of each connection, for the stream $1.
    -- started_at and _sdc_extracted_at are both by the tap's clock. They are compared by whole --
    -- seconds, since their fractions may be written differently. A start in the future comes from a
    -- -- wrong clock, and would make every row look old.
    reads := format(
        $query$
        select
            connection_id,
            max(started_at) filter (where nth = 1) as newest_start,
            max(started_at) filter (where nth = 2) as previous_start,
            max(delivered) filter (where nth = 1) as delivered,
            max(window_start) as window_start
        from (
            select
                connection_id,
                date_trunc('second', started_at) as started_at,
                window_start,
                rows as delivered,
                row_number() over (partition by connection_id order by started_at desc) as nth
            from %I.sync_report
            where stream = $1
                and status = 'complete'
                and full_read
                and connection_id not in ('*', '')
                and started_at <= (now() at time zone 'utc') + interval '1 hour'
                and ($2 is null or connection_id = $2)
                and not ($3 and rows = 0)
        ) as r
        where nth <= 2
        group by connection_id
        having count(*) = 2
        $query$,
        in_schema
    );
    execute format(
        $query$
        select array_agg(distinct stream) from %I.sync_report where status = 'complete' and full_read
        $query$,
        in_schema
    ) into reconciled;

    for loaded in
        select
            t.table_name,
            'deleted_by' = any (t.column_names) as marks,
            '_sdc_extracted_at' = any (t.column_names) as timed,
            -- The column of which window_start is the lower bound; for payouts it is their
            -- creation.
            (
                select c.name
                from unnest(array['parent_last_synced_at', 'last_synced_at', 'updated_at', 'created_at'])
                    with ordinality as c (name, position)
                where c.name = any (t.column_names)
                    and not (t.table_name = 'commerce_payouts' and c.name = 'updated_at')
                order by c.position
                limit 1
            ) as bounded_by
        from pg_temp.loaded_tables(in_schema) as t
        where t.markable
            and ('deleted_by' = any (t.column_names) or t.table_name = any (reconciled))
    loop
        stream := loaded.table_name;
        connections := 0;
        marked := 0;
        restored := 0;
        note := null;
        if not loaded.timed then
            note := 'no column _sdc_extracted_at: switch on add_record_metadata in the target';
            return next;
            continue;
        end if;

        if loaded.marks then
            execute format(
                $query$
                update %I.%I
                set deleted_at = null, deleted_by = null
                where deleted_at is not null and deleted_by = 'reconcile'
                    and _sdc_extracted_at >= deleted_at
                    and ($1 is null or connection_id = $1)
                $query$,
                in_schema, stream
            ) using only_connection;
            get diagnostics restored = row_count;
        end if;

        execute format('select count(*) from (%s) as r', reads)
            into connections using stream, only_connection, ignore_empty;
        continue when connections = 0 and restored = 0;

        -- Rows below the lower bound of either read were not requested, so they are not marked. --
        -- A read that the target never finished loading proves nothing: most of its rows must be in
        -- -- the table. (Not all of them, since a row that came on two pages counts twice.)
        perform pg_temp.add_mark_columns(in_schema, stream);
        execute format(
            $query$
            with judged as (
                select
                    r.*,
                    2 * (
                        select count(*)
                        from %1$I.%2$I as t
                        where t.connection_id = r.connection_id
                            and t._sdc_extracted_at >= r.newest_start
                    ) >= coalesce(r.delivered, 0) as landed
                from (%3$s) as r
            ),
            marked as (
                update %1$I.%2$I as t
                set deleted_at = j.previous_start, deleted_by = 'reconcile'
                from judged as j
                where j.landed
                    and t.connection_id = j.connection_id
                    and t._sdc_extracted_at < j.previous_start
                    and (j.window_start is null or %4$s >= j.window_start)
                    and t.deleted_at is null
                returning 1
            )
            select
                (select count(*) from marked),
                (select count(*) from judged where not landed)
            $query$,
            in_schema, stream, reads, coalesce('t.' || quote_ident(loaded.bounded_by), 'null')
        ) into marked, unlanded using stream, only_connection, ignore_empty;

        note := case
            when unlanded > 0
            then format('%s connections left alone: their newest full read is not in the table', unlanded)
        end;
        return next;
    end loop;
end
$$;

select * from pg_temp.reconcile(
    :'schema', nullif(:'connection_id', ''), :'ignore_empty_reads'::boolean
);
