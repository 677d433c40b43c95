-- Applies the deletions that Rutter reported (table deleted_objects) to the rows they are about.
--
-- A row is deleted when it was last synced no later than its newest deletion. Mode 'mark' keeps it
-- with its last values and sets deleted_at to the time of that deletion; mode 'remove' deletes it.
-- A marked row that was synced again after its deletion lives, and loses its mark.
create or replace function pg_temp.apply_deletions(
    in_schema text, in_mode text, only_connection text
)
returns table (stream text, marked bigint, removed bigint, restored bigint, note text)
language plpgsql as $$
#variable_conflict use_column
declare
    loaded record;
    named text[];
    unassigned bigint;
    events text;
begin
    if in_mode not in ('mark', 'remove') then
        raise exception 'mode is "mark" or "remove", not "%"', in_mode;
    end if;
    perform pg_temp.open_warehouse(in_schema);

    if to_regclass(format('%I.deleted_objects', in_schema)) is not null then
        execute format(
            $query$
            select
                array_agg(distinct stream) filter (where object_id is not null),
                count(*) filter (where stream is null or object_id is null)
            from %I.deleted_objects
            where $1 is null or connection_id = $1
            $query$,
            in_schema
        ) into named, unassigned using only_connection;
    end if;
    -- The newest deletion of each object of the stream $1, of the connection $2 or of all.
    events := format(
        $query$
        select connection_id, object_id, max(deleted_at) as deleted_at
        from %I.deleted_objects
        where stream = $1 and object_id is not null and ($2 is null or connection_id = $2)
        group by connection_id, object_id
        $query$,
        in_schema
    );

    for loaded in
        select
            coalesce(t.table_name, n.stream) as table_name,
            t.table_name is not null as found,
            n.stream is not null as named,
            t.markable and t.key_columns @> '{connection_id,id}' and cardinality(t.key_columns) = 2
                as keyed,
            'last_synced_at' = any (t.column_names) as timed,
            'deleted_by' = any (t.column_names) as marks
        from pg_temp.loaded_tables(in_schema) as t
        full join (select distinct unnest(named) as stream) as n on n.stream = t.table_name
        where n.stream is not null or 'deleted_by' = any (t.column_names)
        order by 1
    loop
        stream := loaded.table_name;
        marked := 0;
        removed := 0;
        restored := 0;
        note := null;

        if not (loaded.found and loaded.keyed and loaded.timed) then
            -- Marked by reconcile alone, a table of another key needs no word here.
            continue when not loaded.named;
            note := case
                when not loaded.found then 'no such table'
                when not loaded.keyed then 'not keyed (connection_id, id)'
                else 'no column last_synced_at'
            end;
            return next;
            continue;
        end if;

        -- The target's upsert leaves columns alone that it does not know, so a mark outlives the
        -- row's return until it is lifted here. The mark holds the time it is judged by, so this
        -- does not depend on how long deletion events are kept.
        if loaded.marks then
            execute format(
                $query$
                update %I.%I
                set deleted_at = null, deleted_by = null
                where deleted_at is not null and deleted_by = 'event'
                    and last_synced_at > deleted_at
                    and ($1 is null or connection_id = $1)
                $query$,
                in_schema, stream
            ) using only_connection;
            get diagnostics restored = row_count;
        end if;

        if loaded.named and in_mode = 'mark' then
            perform pg_temp.add_mark_columns(in_schema, stream);
            -- An event is the source's own word, so it takes over a mark made by reconcile.
            execute format(
                $query$
                update %I.%I as t
                set deleted_at = e.deleted_at, deleted_by = 'event'
                from (%s) as e
                where t.connection_id = e.connection_id
                    and t.id = e.object_id
                    and t.last_synced_at <= e.deleted_at
                    and (
                        t.deleted_at is null
                        or t.deleted_by = 'reconcile'
                        or (t.deleted_by = 'event' and t.deleted_at < e.deleted_at)
                    )
                $query$,
                in_schema, stream, events
            ) using stream, only_connection;
            get diagnostics marked = row_count;
        elsif loaded.named then
            execute format(
                $query$
                delete from %I.%I as t
                using (%s) as e
                where t.connection_id = e.connection_id
                    and t.id = e.object_id
                    and t.last_synced_at <= e.deleted_at
                $query$,
                in_schema, stream, events
            ) using stream, only_connection;
            get diagnostics removed = row_count;
        end if;
        return next;
    end loop;

    if unassigned > 0 then
        stream := null;
        marked := 0;
        removed := 0;
        restored := 0;
        note := format('%s events name no stream or no object', unassigned);
        return next;
    end if;
end
$$;

select * from pg_temp.apply_deletions(:'schema', :'mode', nullif(:'connection_id', ''));
