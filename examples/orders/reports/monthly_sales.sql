{{ config(title="Monthly sales by company", formats=["csv"], limit=12) }}
select
    order_month,
    company_name,
    orders,
    quantity,
    amount
from pres.monthly_sales_by_company
order by order_month desc, amount desc, company_id
