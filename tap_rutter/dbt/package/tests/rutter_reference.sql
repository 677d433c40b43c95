{#- Each id in the column is that of a row of the other model, in the same connection. A reference
    may rightly lead nowhere: its object is not enabled at Rutter, or has been deleted. -#}
{% test rutter_reference(model, column_name, to) %}
    select pointing.connection_id, pointing.{{ column_name }} as missing_id, count(*) as pointing_rows
    from {{ model }} as pointing
    left join {{ to }} as other
        on other.connection_id = pointing.connection_id and other.id = pointing.{{ column_name }}
    where pointing.{{ column_name }} is not null and other.id is null
    group by 1, 2
{% endtest %}
