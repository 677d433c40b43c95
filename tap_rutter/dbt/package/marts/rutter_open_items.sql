{{ config(materialized='table') }}

-- Invoices (what customers owe) and bills (what is owed to vendors), with their payments and what is
-- still open. What the ledger itself says is open counts; where it says nothing, the total less
-- payments and credit memos.
with

payments as (
    select
        'invoice' as kind,
        payment.connection_id,
        link.entry ->> 'id' as document_id,
        {{ rutter_number("link.entry ->> 'amount'") }} as amount,
        payment.txn_date as paid_at
    from {{ ref('stg_rutter__accounting_invoice_payments') }} as payment
    cross join lateral {{ rutter_entries('payment.linked_invoices') }} as link (entry)

    union all

    select
        'bill',
        payment.connection_id,
        link.entry ->> 'id',
        {{ rutter_number("coalesce(link.entry ->> 'allocated_amount', link.entry ->> 'amount')") }},
        payment.transaction_date
    from {{ ref('stg_rutter__accounting_bill_payments') }} as payment
    cross join lateral {{ rutter_entries('payment.linked_bills') }} as link (entry)
    where payment.status is distinct from 'void'
),

paid as (
    select
        kind,
        connection_id,
        document_id,
        count(*) as payments,
        sum(amount) as paid_amount,
        max(paid_at) as last_paid_at
    from payments
    group by 1, 2, 3
),

documents as (
    select
        'invoice' as kind,
        connection_id,
        id,
        customer_id as partner_id,
        document_number,
        status,
        currency_code,
        issue_date,
        due_date,
        total_amount,
        amount_due,
        (
            select sum({{ rutter_number("link.entry ->> 'allocated_amount'") }})
            from {{ rutter_entries('invoice.linked_payments') }} as link (entry)
            where link.entry ->> 'type' = 'INVOICE_CREDIT_MEMO'
        ) as credited_amount
    from {{ ref('stg_rutter__accounting_invoices') }} as invoice

    union all

    select
        'bill',
        connection_id,
        id,
        vendor_id,
        document_number,
        status,
        currency_code,
        issue_date,
        due_date,
        total_amount,
        amount_due,
        (
            select sum({{ rutter_number("link.entry ->> 'allocated_amount'") }})
            from {{ rutter_entries('bill.linked_credit_memos') }} as link (entry)
        )
    from {{ ref('stg_rutter__accounting_bills') }} as bill
),

judged as (
    select
        documents.*,
        coalesce(paid.payments, 0) as payments,
        coalesce(paid.paid_amount, 0) as paid_amount,
        paid.last_paid_at,
        case
            when documents.status in ('void', 'draft', 'rejected') then 0
            else coalesce(
                documents.amount_due,
                documents.total_amount
                - coalesce(paid.paid_amount, 0)
                - coalesce(documents.credited_amount, 0)
            )
        end as open_amount,
        {{ var('rutter_as_of', "(now() at time zone 'UTC')::date") }}
        - documents.due_date::date as days_overdue
    from documents
    left join paid
        on paid.kind = documents.kind
        and paid.connection_id = documents.connection_id
        and paid.document_id = documents.id
)

select
    kind,
    connection_id,
    id,
    partner_id,
    document_number,
    status,
    currency_code,
    issue_date,
    due_date,
    total_amount,
    payments,
    paid_amount,
    coalesce(credited_amount, 0) as credited_amount,
    last_paid_at,
    open_amount,
    days_overdue,
    case when open_amount <> 0 then {{ rutter_age('days_overdue') }} else 'settled' end as age
from judged
