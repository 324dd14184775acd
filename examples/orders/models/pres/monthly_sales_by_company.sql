select
    order_month,
    company_id,
    company_name,
    count(*) as order_lines,
    count(distinct order_no) as orders,
    cast(sum(quantity) as bigint) as quantity,
    cast(sum(amount) as decimal(18, 2)) as amount
from pres.report_order_lines
where status <> 'returned'
group by order_month, company_id, company_name
