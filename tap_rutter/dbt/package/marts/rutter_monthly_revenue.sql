{{ config(materialized='table') }}

-- What a shop sold each month (UTC), less what it gave back. Orders count in the month in which they
-- were made; cancelled ones do not count. A refund counts in the month in which it was made, where
-- the platform lists transactions; elsewhere orders tell of refunds without a time, and they count in
-- the month of the order. Amounts of transactions bear the platform's own sign: it is left out.
with

orders as (
    select
        connection_id,
        date_trunc('month', created_at)::date as month,
        coalesce(iso_currency_code, 'unknown') as currency_code,
        cancelled_at is not null or status = 'cancelled' as is_cancelled,
        total_price,
        (
            select
                sum(abs({{ rutter_number("line.entry ->> 'amount'") }}))
            from {{ rutter_entries('sold.refunds') }} as refund (entry)
            cross join lateral {{ rutter_entries("refund.entry -> 'line_items'") }} as line (entry)
            where coalesce(line.entry ->> 'status', 'completed') = 'completed'
        ) as refunded
    from {{ ref('stg_rutter__commerce_orders') }} as sold
),

listing_transactions as (
    select distinct connection_id from {{ ref('stg_rutter__commerce_transactions') }}
),

sold as (
    select
        connection_id,
        month,
        currency_code,
        count(*) filter (where not is_cancelled) as orders,
        count(*) filter (where is_cancelled) as cancelled_orders,
        coalesce(sum(total_price) filter (where not is_cancelled), 0) as gross_revenue
    from orders
    group by 1, 2, 3
),

given_back as (
    select
        connection_id,
        date_trunc('month', created_at)::date as month,
        coalesce(iso_currency_code, 'unknown') as currency_code,
        abs(amount) as amount
    from {{ ref('stg_rutter__commerce_transactions') }}
    where type = 'refund' and status in ('success', 'refunded')

    union all

    select connection_id, month, currency_code, refunded
    from orders
    where not is_cancelled
        and connection_id not in (select connection_id from listing_transactions)
),

refunded as (
    select connection_id, month, currency_code, sum(amount) as refunds
    from given_back
    group by 1, 2, 3
    having sum(amount) is not null
)

select
    connection_id,
    month,
    currency_code,
    coalesce(sold.orders, 0) as orders,
    coalesce(sold.cancelled_orders, 0) as cancelled_orders,
    coalesce(sold.gross_revenue, 0) as gross_revenue,
    coalesce(refunded.refunds, 0) as refunds,
    coalesce(sold.gross_revenue, 0) - coalesce(refunded.refunds, 0) as net_revenue
from sold
full join refunded using (connection_id, month, currency_code)
where month is not null
