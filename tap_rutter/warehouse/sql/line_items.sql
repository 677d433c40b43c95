-- Creates a view <table>_line_items for each table with a jsonb column line_items: one row per line.
-- All these views have the same columns, so that UNION ALL can combine them. A field that an --
-- object's lines do not have is null, and line_item holds the whole line. A column's name is the --
-- field's name in the API. A single object instead of an array is one line. Null, and any other --
-- value, gives no line.
create or replace function pg_temp.line_fields() returns text
language sql immutable as $$
    select string_agg(
        case
            when f.numeric then format(
                -- Some objects have amounts as text. Text that is not a number must not make the
                -- view fail.
                'case when %1$s ~ ''^[+-]?[0-9]+([.][0-9]+)?$'' then (%1$s)::numeric end as %2$I',
                f.expression, f.name
            )
            else format('%s as %I', f.expression, f.name)
        end,
        ', ' order by f.position
    )
    from (
        select n.name, n.position, n.name = any (array[
                'quantity', 'unit_amount', 'price', 'unit_cost', 'amount', 'sub_total', 'tax_amount',
                'discount_amount', 'discount_percentage', 'total_amount'
            ]) as numeric,
            case
                when n.name = 'line_id' then 'l.line ->> ''id'''
                when n.name = 'item_id' then
                    'coalesce(l.line ->> ''item_id'', l.line #>> ''{item,id}'')'
                -- In newer API versions these two are inside the line's item.
                when n.name in ('quantity', 'unit_amount') then
                    format('coalesce(l.line ->> %1$L, l.line -> ''item'' ->> %1$L)', n.name)
                else format('l.line ->> %L', n.name)
            end as expression
        from unnest(array[
            'line_id', 'platform_id', 'type', 'account_id', 'class_id', 'customer_id',
            'department_id', 'location_id', 'project_id', 'vendor_id', 'tax_rate_id', 'item_id',
            'product_id', 'variant_id', 'sku', 'title', 'description', 'iso_currency_code',
            'quantity', 'unit_amount', 'price', 'unit_cost', 'amount', 'sub_total', 'tax_amount',
            'discount_amount', 'discount_percentage', 'total_amount'
        ]) with ordinality as n (name, position)
    ) as f
$$;

create or replace function pg_temp.create_line_item_views(in_schema text)
returns table (created text, note text)
language plpgsql as $$
#variable_conflict use_column
declare
    loaded record;
begin
    perform pg_temp.open_warehouse(in_schema);

    for loaded in
        select
            t.table_name,
            t.table_name || '_line_items' as view_name,
            t.column_names
        from pg_temp.loaded_tables(in_schema) as t
        where t.markable
            and t.column_names @> '{connection_id,id,line_items}'
            and pg_temp.column_type(in_schema, t.table_name, 'line_items') = 'jsonb'
    loop
        created := loaded.view_name;
        note := null;
        if exists (
            select
            from pg_class as c
            where c.oid = to_regclass(format('%I.%I', in_schema, loaded.view_name))
                and c.relkind <> 'v'
        ) then
            note := 'not created: the name is taken';
            return next;
            continue;
        end if;

        -- The view shows whether the line's parent is marked, so the table needs these columns.
        perform pg_temp.add_mark_columns(in_schema, loaded.table_name);
        execute format(
            $query$
            create or replace view %1$I.%2$I as
            select
                t.connection_id,
                t.id as parent_id,
                l.line_number,
                %4$s,
                l.line as line_item,
                %5$s as parent_updated_at,
                %6$s as parent_last_synced_at,
                t.deleted_at as parent_deleted_at
            from %1$I.%3$I as t
            cross join lateral jsonb_array_elements(
                case jsonb_typeof(t.line_items)
                    when 'array' then t.line_items
                    when 'object' then jsonb_build_array(t.line_items)
                    else '[]'
                end
            ) with ordinality as l (line, line_number)
            $query$,
            in_schema,
            loaded.view_name,
            loaded.table_name,
            pg_temp.line_fields(),
            case when 'updated_at' = any (loaded.column_names)
                then 't.updated_at' else 'null::timestamp' end,
            case when 'last_synced_at' = any (loaded.column_names)
                then 't.last_synced_at' else 'null::timestamp' end
        );
        return next;
    end loop;
end
$$;

select * from pg_temp.create_line_item_views(:'schema');
