-- A model: the folder is the schema, the file is the table, so this is pres.customer_totals.
-- What it depends on is read from the SQL. Whether it can be refreshed in part is Thalweg's business.
select
    customer,
    count(*) as orders,
    sum(amount) as amount,
    max(ordered_on) as last_order_on
from store.orders
group by customer
