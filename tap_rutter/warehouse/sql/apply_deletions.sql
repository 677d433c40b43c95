-- Applies deletions to the rows they are about: those that Rutter reported in its events (table
-- deleted_objects), and those that a fleet learnt by webhooks (table webhook_deletions).
--
-- By an event a row is deleted when it was last synced no later than its newest deletion. A webhook
-- shows the object's last state: a row is deleted when it is no newer than that, and was not read
-- again after the webhook had come. Mode 'mark' keeps the row with its last values and sets
-- deleted_at to the time of the deletion (of a webhook: when it came); mode 'remove' deletes it. A
-- marked row that came back lives, and loses its mark.
create or replace function pg_temp.apply_deletions(
    in_schema text, in_mode text, only_connection text
)
returns table (stream text, marked bigint, removed bigint, restored bigint, note text)
language plpgsql as $$
#variable_conflict use_column
declare
    loaded record;
    named text[];
    told text[];
    unassigned bigint;
    events text;
    webhooks text;
    revived text;
    affected bigint;
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
    if to_regclass(format('%I.webhook_deletions', in_schema)) is not null then
        execute format(
            $query$
            select array_agg(distinct stream) from %I.webhook_deletions
            where $1 is null or connection_id = $1
            $query$,
            in_schema
        ) into told using only_connection;
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
    webhooks := format(
        $query$
        select
            connection_id,
            object_id,
            max(deleted_at) as deleted_at,
            max(coalesce(state_at, deleted_at)) as state_at
        from %I.webhook_deletions
        where stream = $1 and ($2 is null or connection_id = $2)
        group by connection_id, object_id
        $query$,
        in_schema
    );

    for loaded in
        select
            coalesce(t.table_name, n.stream) as table_name,
            t.table_name is not null as found,
            coalesce(n.stream = any (named), false) as named,
            coalesce(n.stream = any (told), false) as told,
            t.markable and t.key_columns @> '{connection_id,id}' and cardinality(t.key_columns) = 2
                as keyed,
            'last_synced_at' = any (t.column_names) as timed,
            -- How new a row is: by Rutter's clock, or for commerce by the platform's.
            case
                when 'last_synced_at' = any (t.column_names) then 't.last_synced_at'
                when 'updated_at' = any (t.column_names) then 't.updated_at'
                else 'null::timestamp'
            end as stamp,
            -- When a row was read.
            case
                when '_sdc_extracted_at' = any (t.column_names) then 't._sdc_extracted_at'
                else 'null::timestamp'
            end as extracted,
            'deleted_by' = any (t.column_names) as marks
        from pg_temp.loaded_tables(in_schema) as t
        full join (select distinct unnest(named || told) as stream) as n on n.stream = t.table_name
        where n.stream is not null or 'deleted_by' = any (t.column_names)
        order by 1
    loop
        stream := loaded.table_name;
        marked := 0;
        removed := 0;
        restored := 0;
        note := null;

        if loaded.named and not (loaded.found and loaded.keyed and loaded.timed) then
            note := case
                when not loaded.found then 'no such table'
                when not loaded.keyed then 'not keyed (connection_id, id)'
                else 'no column last_synced_at'
            end;
        end if;
        if not (loaded.found and loaded.keyed) then
            -- Some webhooks name every stream that the object may be of: of those that are not
            -- loaded there is nothing to say. Nor of a table of another key that reconcile marked.
            continue when note is null;
            return next;
            continue;
        end if;

        -- The target's upsert leaves columns alone that it does not know, so a mark outlives the
        -- row's return until it is lifted here. The mark holds the time it is judged by, so this
        -- does not depend on how long deletion events are kept.
        if loaded.marks and loaded.timed then
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
        if (loaded.named and loaded.timed or loaded.told) and in_mode = 'mark' then
            perform pg_temp.add_mark_columns(in_schema, stream);
        end if;

        if loaded.named and loaded.timed and in_mode = 'mark' then
            -- An event is the source's own word, so it takes over any other mark.
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
                        or t.deleted_by in ('reconcile', 'webhook')
                        or (t.deleted_by = 'event' and t.deleted_at < e.deleted_at)
                    )
                $query$,
                in_schema, stream, events
            ) using stream, only_connection;
            get diagnostics marked = row_count;
        elsif loaded.named and loaded.timed then
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

        -- Whether a row is back after the deletion w: it is newer than the state that was deleted,
        -- or the API has shown it again. The five minutes are for answers that were on their way
        -- when the webhook came, and for clocks that differ. `coalesce`: a time that is not known
        -- proves nothing.
        revived := format(
            $query$(
                coalesce(%1$s > w.state_at, false)
                or coalesce(%2$s > w.deleted_at + interval '5 minutes', false)
            )$query$,
            loaded.stamp, loaded.extracted
        );
        if loaded.marks then
            -- By the webhook itself as long as it is kept, and else by the time in the mark.
            execute format(
                $query$
                update %1$I.%2$I as t
                set deleted_at = null, deleted_by = null
                where t.deleted_at is not null and t.deleted_by = 'webhook'
                    and ($2 is null or t.connection_id = $2)
                    and (
                        coalesce(%3$s > t.deleted_at, false)
                        or coalesce(%4$s > t.deleted_at + interval '5 minutes', false)
                        %5$s
                    )
                $query$,
                in_schema, stream, loaded.stamp, loaded.extracted,
                case
                    when loaded.told then format(
                        'or exists (select from (%s) as w where w.connection_id = t.connection_id'
                        ' and w.object_id = t.id and %s)',
                        webhooks, revived
                    )
                end
            ) using stream, only_connection;
            get diagnostics affected = row_count;
            restored := restored + affected;
        end if;
        if loaded.told and in_mode = 'mark' then
            execute format(
                $query$
                update %I.%I as t
                set deleted_at = w.deleted_at, deleted_by = 'webhook'
                from (%s) as w
                where t.connection_id = w.connection_id
                    and t.id = w.object_id
                    and not %s
                    and (
                        t.deleted_at is null
                        or t.deleted_by = 'reconcile'
                        or (t.deleted_by = 'webhook' and t.deleted_at < w.deleted_at)
                    )
                $query$,
                in_schema, stream, webhooks, revived
            ) using stream, only_connection;
            get diagnostics affected = row_count;
            marked := marked + affected;
        elsif loaded.told then
            execute format(
                $query$
                delete from %I.%I as t
                using (%s) as w
                where t.connection_id = w.connection_id and t.id = w.object_id and not %s
                $query$,
                in_schema, stream, webhooks, revived
            ) using stream, only_connection;
            get diagnostics affected = row_count;
            removed := removed + affected;
        end if;
        continue when not (loaded.named or loaded.told or loaded.timed) and restored = 0;
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
