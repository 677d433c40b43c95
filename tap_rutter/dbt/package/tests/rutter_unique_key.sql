{#- No two rows with the same values in all of these columns. -#}
{% test rutter_unique_key(model, columns) %}
    {%- set key = columns | map('tojson') | join(', ') %}
    select {{ key }}, count(*) as rows_of_this_key
    from {{ model }}
    group by {{ key }}
    having count(*) > 1
{% endtest %}
