{{ config(materialized='view') }}

-- What is open, by how long it has been due: a row per connection, kind, currency and age.
select
    connection_id,
    kind,
    currency_code,
    age,
    count(*) as documents,
    sum(open_amount) as open_amount
from {{ ref('rutter_open_items') }}
where open_amount <> 0
group by 1, 2, 3, 4
