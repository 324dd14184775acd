-- Everything people ask about an order line, in one row. Written as many are used to it from dbt: a block for each input, then the join.
with order_lines as (

    select * from staging.order_lines

),

order_headers as (

    select
        order_no,
        company_id,
        customer_document_no,
        order_date,
        {{ month_of('order_date') }} as order_month,
        status
    from {{ source('shop', 'order_headers') }}

),

customers as (

    select * from staging.customers

),

products as (

    select * from staging.products

)

select
    l.order_no,
    l.order_line_no,
    h.order_date,
    h.order_month,
    h.status,
    h.company_id,
    b.company_name,
    b.tax_number,
    h.customer_document_no,
    c.full_name as customer_name,
    c.email as customer_email,
    c.country_code as customer_country_code,
    l.product_code,
    l.supplier_id,
    p.product_name,
    p.supplier_name,
    l.quantity,
    l.unit_price,
    coalesce(a.price, p.default_price) as list_price,
    l.amount,
    '{{ var("currency") }}' as currency
from order_lines as l
join order_headers as h on h.order_no = l.order_no
left join store.companies as b on b.company_id = h.company_id
left join customers as c on c.document_number = h.customer_document_no
left join products as p on p.product_code = l.product_code and p.supplier_id = l.supplier_id
left join store.product_prices as a on a.product_code = l.product_code and a.company_id = h.company_id
