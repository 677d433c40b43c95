-- Every script starts with this: the tables of the schema, from the database's own catalogue.

-- Fails if the schema does not exist. Only one script at a time works on a schema: two sessions
-- that -- add the same column or replace the same view would make each other fail.
create or replace function pg_temp.open_warehouse(in_schema text) returns void
language plpgsql as $$
begin
    if to_regnamespace(quote_ident(in_schema)) is null then
        raise exception 'schema "%" does not exist', in_schema
            using hint = 'It is the default_target_schema of target-postgres; tables appear with the first sync.';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('tap-rutter warehouse ' || in_schema, 0));
end
$$;

-- The loaded tables with their primary keys and columns.
--
-- `markable` tables hold objects, which can be deleted at the source. Statements, metrics, balances
-- -- and aging reports are about a day, a month or a request: a later read does not deliver the old
-- -- rows again, though they are not deleted. Tables without a key hold every version ever
-- delivered.
create or replace function pg_temp.loaded_tables(in_schema text)
returns table (table_name text, key_columns text[], column_names text[], markable boolean)
language sql stable as $$
    select
        t.table_name,
        t.key_columns,
        t.column_names,
        'connection_id' = any (t.key_columns)
            and not t.key_columns && array['date', 'start_date', 'end_date', 'run_id']
            and t.table_name not in ('connection_statuses', 'deleted_objects', 'sync_report')
            and t.table_name not like '%\_aging\_report\_summaries'
    from (
        select
            c.relname::text as table_name,
            coalesce(
                (
                    select array_agg(a.attname::text order by k.position)
                    from pg_index as i
                    cross join unnest(i.indkey) with ordinality as k (attnum, position)
                    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
                    where i.indrelid = c.oid and i.indisprimary
                ),
                '{}'
            ) as key_columns,
            (
                select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
                from pg_attribute as a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            ) as column_names
        from pg_class as c
        where c.relnamespace = to_regnamespace(quote_ident(in_schema))
            and c.relkind in ('r', 'p')
            and not c.relispartition
    ) as t
    order by t.table_name
$$;

create or replace function pg_temp.column_type(in_schema text, in_table text, in_column text)
returns text
language sql stable as $$
    select format_type(a.atttypid, null)
    from pg_attribute as a
    where a.attrelid = to_regclass(format('%I.%I', in_schema, in_table))
        and a.attname = in_column
        and not a.attisdropped
$$;

-- `deleted_by` says whose mark `deleted_at` is: 'event' or 'webhook' (apply-deletions), or
-- 'reconcile'. Each script lifts only its own marks. The columns are added only where they are missing, since even
-- an ALTER that changes nothing would wait for every reader of the table.
create or replace function pg_temp.add_mark_columns(in_schema text, in_table text) returns void
language plpgsql as $$
begin
    if pg_temp.column_type(in_schema, in_table, 'deleted_at') is null then
        execute format('alter table %I.%I add column deleted_at timestamp', in_schema, in_table);
    end if;
    if pg_temp.column_type(in_schema, in_table, 'deleted_by') is null then
        execute format('alter table %I.%I add column deleted_by text', in_schema, in_table);
    end if;
end
$$;
