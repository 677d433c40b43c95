{#- Whether a loaded row is still there: neither marked by `rutterctl sql apply-deletions` or
    `reconcile`, nor named by a deletion event that is newer than the row. -#}
{% macro rutter_is_living(stream, deletions) -%}
    true
    {%- if execute %}
    {%- set names = adapter.get_columns_in_relation(source('rutter', stream))
        | map(attribute='name') | list %}
    {%- if 'deleted_at' in names and 'deleted_by' in names %}
    and (
        loaded.deleted_at is null
        {%- if 'last_synced_at' in names %}
        or (loaded.deleted_by = 'event' and loaded.last_synced_at > loaded.deleted_at)
        {%- endif %}
    )
    {%- endif %}
    {%- endif %}
    {%- if deletions %}
    and not exists (
        select
        from {{ source('rutter', 'deleted_objects') }} as gone
        where gone.connection_id = loaded.connection_id
            and gone.stream = '{{ stream }}'
            and gone.object_id = loaded.id
            and gone.deleted_at >= loaded.last_synced_at
    )
    {%- endif %}
{%- endmacro %}

{#- The entries of a JSON array; one for a single object, none for anything else. -#}
{% macro rutter_entries(column) -%}
    jsonb_array_elements(
        case jsonb_typeof({{ column }})
            when 'array' then {{ column }}
            when 'object' then jsonb_build_array({{ column }})
            else '[]'
        end
    )
{%- endmacro %}

{#- A number out of JSON text; null for what is not a number, so that one value cannot stop a model. -#}
{% macro rutter_number(expression) -%}
    case
        when ({{ expression }}) ~ '^[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]{1,3})?$'
            then ({{ expression }})::numeric
    end
{%- endmacro %}

{#- A time out of JSON text, in UTC and without a zone, as the tables have it. -#}
{% macro rutter_time(expression) -%}
    case
        when ({{ expression }})
            ~ '^[0-9]{4}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$'
            and right(left(({{ expression }}), 10), 2)::integer between 1 and extract(
                day from (
                    make_date(left(({{ expression }}), 4)::integer, substr(({{ expression }}), 6, 2)::integer, 1)
                    + interval '1 month' - interval '1 day'
                )
            )
            then (
                case
                    when ({{ expression }}) ~ '(Z|[+-][0-9]{2}:[0-9]{2})$' then ({{ expression }})
                    else ({{ expression }}) || ' UTC'
                end
            )::timestamptz at time zone 'UTC'
    end
{%- endmacro %}

{#- How old a debt is: groups of 30 days behind the day by which it was to be paid. -#}
{% macro rutter_age(days) -%}
    case
        when {{ days }} is null then 'no due date'
        when {{ days }} <= 0 then 'not due'
        when {{ days }} <= 30 then '1-30'
        when {{ days }} <= 60 then '31-60'
        when {{ days }} <= 90 then '61-90'
        else 'over 90'
    end
{%- endmacro %}
