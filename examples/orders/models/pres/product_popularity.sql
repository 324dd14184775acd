select
    product_code,
    supplier_id,
    product_name,
    count(*) as order_lines,
    count(distinct customer_document_no) as customers,
    cast(sum(quantity) as bigint) as quantity,
    rank() over (order by sum(quantity) desc) as popularity
from {{ ref('report_order_lines') }}
group by product_code, supplier_id, product_name
