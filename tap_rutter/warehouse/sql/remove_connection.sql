-- Removes one connection's rows from every table of the schema that has a connection_id, and its
-- row in connections. Reports about the whole organisation (connection_id '*', in earlier versions
-- of the tap '') stay. If no table has a row of the connection, the last line says so: the id may
-- be mistyped.
create or replace function pg_temp.remove_connection(in_schema text, in_connection text)
returns table (table_name text, removed bigint, note text)
language plpgsql as $$
#variable_conflict use_column
declare
    loaded record;
    total bigint := 0;
begin
    if in_connection in ('', '*') then
        raise exception 'a connection id is needed';
    end if;
    perform pg_temp.open_warehouse(in_schema);

    for loaded in
        select
            t.table_name,
            c.name as column_name,
            -- A table of the user's own may hold the id in another type, such as uuid.
            case
                when pg_temp.column_type(in_schema, t.table_name, c.name)
                    in ('text', 'character varying')
                then ''
                else '::text'
            end as as_text
        from pg_temp.loaded_tables(in_schema) as t
        cross join lateral (
            select case when t.table_name = 'connections' then 'id' else 'connection_id' end
        ) as c (name)
        where c.name = any (t.column_names)
    loop
        table_name := loaded.table_name;
        execute format(
            'delete from %I.%I where %I%s = $1',
            in_schema, table_name, loaded.column_name, loaded.as_text
        ) using in_connection;
        get diagnostics removed = row_count;
        total := total + removed;
        return next;
    end loop;
    if total = 0 then
        table_name := null;
        removed := 0;
        note := format('no table of schema %I has a row of connection "%s": see whether the id is right', in_schema, in_connection);
        return next;
    end if;
end
$$;

select * from pg_temp.remove_connection(:'schema', :'connection_id');
