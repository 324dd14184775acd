with orders as (select * from store.orders),
first_orders as (select customer_id, min(date_trunc('month', ordered_at)) as cohort_month from orders group by customer_id)
select orders.id as order_id, orders.customer_id, first_orders.cohort_month, date_trunc('month', orders.ordered_at) as order_month
from orders left join first_orders on first_orders.customer_id = orders.customer_id
