{{ config(title="Best customers", formats=["csv"], limit=10) }}
select customer, orders, amount
from pres.customer_totals
order by amount desc, customer
