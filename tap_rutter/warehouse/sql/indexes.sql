-- Creates the indexes that incremental models and the other scripts search by, beside the primary
-- keys that the target made. A table that already has an index on these columns, under any name,
-- gets -- no second one.
create or replace function pg_temp.create_indexes(in_schema text)
returns table (table_name text, created text)
language plpgsql as $$
#variable_conflict use_column
declare
    wanted record;
begin
    perform pg_temp.open_warehouse(in_schema);

    for wanted in
        select t.table_name, w.column_names, w.predicate
        from pg_temp.loaded_tables(in_schema) as t
        cross join (
            values
            -- what changed since a model's last run
            (null, array['connection_id', 'updated_at'], null),
            (null, array['connection_id', 'last_synced_at'], null),
            -- the few marked rows, which the scripts look through at every run
            (null, array['connection_id', 'deleted_at', 'deleted_by'], 'deleted_at is not null'),
            ('deleted_objects', array['stream', 'connection_id', 'object_id'], null),
            ('webhook_deletions', array['stream', 'connection_id', 'object_id'], null),
            -- the newest reports of a connection and stream
            ('sync_report', array['connection_id', 'stream', 'started_at'], null)
        ) as w (only_table, column_names, predicate)
        where t.column_names @> w.column_names
            and (w.only_table is null or w.only_table = t.table_name)
            and not exists (
                select
                from pg_index as i
                where i.indrelid = to_regclass(format('%I.%I', in_schema, t.table_name))
                    and i.indisvalid
                    and (i.indpred is null) = (w.predicate is null)
                    and w.column_names = (
                        select array_agg(a.attname::text order by k.position)
                        from unnest(i.indkey) with ordinality as k (attnum, position)
                        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
                        where k.position <= cardinality(w.column_names)
                    )
            )
    loop
        table_name := wanted.table_name;
        created := (select string_agg(quote_ident(c), ', ') from unnest(wanted.column_names) as c);
        execute format(
            'create index on %I.%I (%s) %s',
            in_schema, table_name, created, 'where ' || wanted.predicate
        );
        return next;
    end loop;
end
$$;

select * from pg_temp.create_indexes(:'schema');
