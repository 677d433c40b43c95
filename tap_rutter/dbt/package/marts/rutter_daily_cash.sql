{{ config(materialized='table') }}

-- The closing balance of each bank account on each day (UTC), counted back from the balance that
-- Rutter shows now. Rutter does not say which sign of a transaction means money going out; with
-- Plaid, its usual source, a positive amount does. The variable rutter_money_out_sign says so: 1, or
-- -1 where a negative amount means money going out. Pending transactions are not in the balance.
with

accounts as (
    select
        connection_id,
        id as bank_account_id,
        name,
        balance ->> 'currency_code' as currency_code,
        {{ rutter_number("balance ->> 'current'") }} as balance_now,
        last_synced_at::date as known_on
    from {{ ref('stg_rutter__banking_bank_accounts') }}
),

booked as (
    select
        connection_id,
        account_id as bank_account_id,
        date::date as day,
        sum(- {{ var('rutter_money_out_sign', 1) }} * amount) as net_flow,
        count(*) as transactions
    from {{ ref('stg_rutter__banking_bank_transactions') }}
    where status is distinct from 'pending' and amount is not null and date is not null
    group by 1, 2, 3
),

days as (
    select
        accounts.*,
        day::date as day
    from accounts
    cross join lateral generate_series(
        least(
            known_on,
            (
                select min(booked.day)
                from booked
                where booked.connection_id = accounts.connection_id
                    and booked.bank_account_id = accounts.bank_account_id
            )
        ),
        known_on,
        interval '1 day'
    ) as day
)

select
    days.connection_id,
    days.bank_account_id,
    days.name,
    days.currency_code,
    days.day,
    coalesce(booked.transactions, 0) as transactions,
    coalesce(booked.net_flow, 0) as net_flow,
    days.balance_now - coalesce(
        sum(booked.net_flow) over (
            partition by days.connection_id, days.bank_account_id
            order by days.day desc
            rows between unbounded preceding and 1 preceding
        ),
        0
    ) as closing_balance
from days
left join booked
    on booked.connection_id = days.connection_id
    and booked.bank_account_id = days.bank_account_id
    and booked.day = days.day
