with orders as (select * from store.orders),
daily as (select customer_id, cast(ordered_at as date) as day, count(*) as orders from orders group by 1, 2)
select customer_id, day, orders, sum(orders) over (partition by customer_id order by day nulls last) as orders_to_date from daily
