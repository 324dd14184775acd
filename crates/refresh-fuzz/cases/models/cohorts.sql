with customers as (select * from store.customers), orders as (select * from store.orders),
cohort as (select id as customer_id, date_trunc('month', signed_up) as cohort_month from customers)
select cohort.cohort_month, date_diff('month', cohort.cohort_month, date_trunc('month', orders.ordered_at)) as month_number, count(distinct orders.customer_id) as customers
from orders join cohort on cohort.customer_id = orders.customer_id group by 1, 2
