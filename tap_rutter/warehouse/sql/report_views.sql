-- Creates the views sync_freshness and sync_completeness, from the tap's reports and the tables. --
-- They count the tables that exist now: run this again when a new stream has landed.

create or replace function pg_temp.create_freshness_view(in_schema text) returns void
language plpgsql as $$
begin
    execute format(
        $query$
        create or replace view %1$I.sync_freshness as
        with reports as (
            select
                -- Earlier versions of the tap wrote '' for what concerns all connections.
                case connection_id when '' then '*' else connection_id end as connection_id,
                run_id, stream, status, reason, error_code, error_message,
                started_at, finished_at, full_read, source_synced_at,
                -- As JSON, since a column that the catalog deselects never reaches the table.
                to_jsonb(r) -> 'skipped' as skipped
            from %1$I.sync_report as r
        ),
        attempts as (
            select distinct on (connection_id, stream) *
            from reports
            order by connection_id, stream, started_at desc, finished_at desc nulls last
        ),
        completed as (
            select distinct on (connection_id, stream) *
            from reports
            where status = 'complete'
            order by connection_id, stream, started_at desc, finished_at desc nulls last
        ),
        full_reads as (
            select connection_id, stream, max(started_at) as started_at
            from reports
            where status = 'complete' and full_read
            group by connection_id, stream
        ),
        -- A connection that was skipped as a whole has one row, "*", which counts for all its
        -- streams. -- A row "*" may also name streams that the platform does not serve; then it
        -- says nothing -- about the other streams.
        left_out as (
            select distinct on (connection_id) *
            from reports
            where stream = '*' and reason not in ('unsupported', 'unavailable', 'not_synced_since')
            order by connection_id, started_at desc, finished_at desc nulls last
        ),
        -- The same for what Rutter had not synced since it was last read: what a complete read has
        -- brought is still all there is, so the run counts as one more.
        unchanged as (
            select r.connection_id, s.stream, max(r.started_at) as started_at,
                max(coalesce(r.finished_at, r.started_at)) as finished_at
            from (
                select connection_id, started_at, finished_at, skipped
                from reports
                where stream = '*' and reason = 'not_synced_since'
            ) as r
            cross join lateral jsonb_array_elements_text(
                case jsonb_typeof(r.skipped) when 'array' then r.skipped else '[]' end
            ) as s (stream)
            group by 1, 2
        )
        select
            a.connection_id,
            a.stream,
            case when o.run_id is null then a.status else o.status end as status,
            case when o.run_id is null then a.reason else o.reason end as reason,
            case when o.run_id is null then a.error_code else o.error_code end as error_code,
            case when o.run_id is null then a.error_message else o.error_message end as error_message,
            greatest(coalesce(o.started_at, a.started_at), u.started_at) as last_attempt_at,
            case
                when c.finished_at is not null then greatest(c.finished_at, u.finished_at)
            end as last_complete_at,
            f.started_at as last_full_read_at,
            coalesce(o.source_synced_at, a.source_synced_at, c.source_synced_at) as source_synced_at,
            -- The age of the data: that of the read, or of Rutter's copy at that time if it is
            -- older.
            (now() at time zone 'utc') - least(c.started_at, c.source_synced_at) as lag
        from attempts as a
        left join completed as c using (connection_id, stream)
        left join full_reads as f using (connection_id, stream)
        left join unchanged as u
            on u.connection_id = a.connection_id
            and u.stream = a.stream
        left join left_out as o
            on o.connection_id = a.connection_id
            and a.stream not in ('*', 'connection_statuses')
            and o.run_id <> a.run_id
            and o.started_at >= greatest(a.started_at, u.started_at)
        -- The status of a connection is read whatever it is: it says nothing of its data.
        where a.stream <> '*'
            or not exists (
                select
                from reports as r
                where r.connection_id = a.connection_id
                    and r.stream not in ('*', 'connection_statuses')
            )
        $query$,
        in_schema
    );
end
$$;

-- The SQL for a name in the singular, since it is not documented how Rutter spells entities.
create or replace function pg_temp.singular(expression text) returns text
language sql as $$
    select format(
        $sql$regexp_replace(regexp_replace(regexp_replace(%s,
            'ies$', 'y'), 'sses$', 'ss'), '([^s])s$', '\1')$sql$,
        expression
    )
$$;

-- Rutter's own counts, one row for each connection and entity that it names; no rows while the --
-- table does not exist. Counts above a million are Rutter's estimates.
create or replace function pg_temp.entity_counts_query(in_schema text) returns text
language plpgsql as $$
begin
    if to_regclass(format('%I.connection_statuses', in_schema)) is null then
        return 'select null::text as connection_id, null::text as entity,'
            ' null::numeric as expected_count, null::numeric as synced_count where false';
    end if;
    return format(
        $query$
        select
            connection_id,
            case entity
                when 'cash_flow' then 'cash_flow_statement'
                else entity
            end as entity,
            sum(expected_count) as expected_count,
            max(synced_count) as synced_count
        from (
            select
                s.connection_id,
                %s as entity,
                c.expected_count,
                c.synced_count
            from (
                -- As JSON, since the table lacks columns that the catalog deselects.
                select connection_id, to_jsonb(r) as facts from %I.connection_statuses as r
            ) as s
            cross join lateral (
                select
                    e.value ->> 'entity',
                    case jsonb_typeof(e.value -> 'count')
                        when 'number' then (e.value ->> 'count')::numeric
                    end,
                    null::numeric
                from jsonb_array_elements(
                    case jsonb_typeof(s.facts -> 'expected_entity_counts')
                        when 'array' then s.facts -> 'expected_entity_counts' else '[]'
                    end
                ) as e
                union all
                select
                    e.key,
                    null,
                    case jsonb_typeof(e.value -> 'synced_count')
                        when 'number' then (e.value ->> 'synced_count')::numeric
                    end
                from jsonb_each(
                    case jsonb_typeof(s.facts -> 'entities')
                        when 'object' then s.facts -> 'entities' else '{}'
                    end
                ) as e
                union all
                -- The counts that have a column of their own: synced_orders_count and its like.
                select substring(e.key from '^synced_(.+)_count$'), null, e.value::text::numeric
                from jsonb_each(s.facts) as e
                where e.key ~ '^synced_.+_count$' and jsonb_typeof(e.value) = 'number'
            ) as c (entity, expected_count, synced_count)
            where c.entity is not null
        ) as named
        group by 1, 2
        $query$,
        pg_temp.singular($name$lower(regexp_replace(c.entity, '([a-z])([A-Z])', '\1_\2', 'g'))$name$),
        in_schema
    );
end
$$;

create or replace function pg_temp.create_completeness_view(in_schema text) returns void
language plpgsql as $$
declare
    loaded record;
    counts text[];
begin
    for loaded in
        select t.table_name, t.markable, t.table_name = 'connections' as listing
        from pg_temp.loaded_tables(in_schema) as t
        where t.table_name not in ('sync_report', 'connection_statuses')
            and ('connection_id' = any (t.key_columns) or t.table_name = 'connections')
    loop
        if loaded.markable then
            -- Otherwise marks that are set later would count only after this script has run again.
            perform pg_temp.add_mark_columns(in_schema, loaded.table_name);
        end if;
        counts := counts || format(
            'select %s as connection_id, %L::text as stream, count(*)%s as landed, %s as deleted'
            ' from %I.%I group by 1',
            -- The listing of connections is reported for the organisation as a whole.
            case when loaded.listing then '''*''::text' else 'connection_id::text' end,
            loaded.table_name,
            case when loaded.markable then ' filter (where deleted_at is null)' end,
            case when loaded.markable then 'count(deleted_at)' else '0::bigint' end,
            in_schema,
            loaded.table_name
        );
    end loop;

    execute format(
        $query$
        create or replace view %1$I.sync_completeness as
        with landed as (
            %2$s
        ),
        reported as (
            select distinct on (1, stream)
                -- As in sync_freshness.
                case connection_id when '' then '*' else connection_id end as connection_id,
                stream, status, source_count, started_at as reported_at
            from %1$I.sync_report
            where stream <> '*'
            order by 1, stream, started_at desc, finished_at desc nulls last
        ),
        entity_counts as (
            %3$s
        )
        select
            coalesce(l.connection_id, r.connection_id) as connection_id,
            coalesce(l.stream, r.stream) as stream,
            coalesce(l.landed, 0) as rows_landed,
            coalesce(l.deleted, 0) as rows_marked_deleted,
            r.source_count,
            r.source_count - coalesce(l.landed, 0) as missing,
            r.status,
            r.reported_at,
            e.expected_count,
            e.synced_count
        from landed as l
        full join reported as r
            on r.connection_id = l.connection_id and r.stream = l.stream
        -- Rutter names an entity as the stream is named without its family.
        left join entity_counts as e
            on e.connection_id = coalesce(l.connection_id, r.connection_id)
            and e.entity = %4$s
        $query$,
        in_schema,
        coalesce(
            array_to_string(counts, E'\n            union all\n            '),
            'select null::text as connection_id, null::text as stream,'
            ' 0::bigint as landed, 0::bigint as deleted where false'
        ),
        pg_temp.entity_counts_query(in_schema),
        pg_temp.singular($name$regexp_replace(coalesce(l.stream, r.stream), '^[a-z]+_', '')$name$)
    );
end
$$;

create or replace function pg_temp.create_report_views(in_schema text)
returns table (created text, note text)
language plpgsql as $$
#variable_conflict use_column
begin
    perform pg_temp.open_warehouse(in_schema);
    if to_regclass(format('%I.sync_report', in_schema)) is null then
        return query select null::text, 'no table sync_report';
        return;
    end if;
    perform pg_temp.create_freshness_view(in_schema);
    perform pg_temp.create_completeness_view(in_schema);
    return query values ('sync_freshness', null), ('sync_completeness', null);
end
$$;

select * from pg_temp.create_report_views(:'schema');
