with items as (select * from store.order_items), orders as (select * from store.orders), customers as (select * from store.customers)
select customers.country, date_trunc('month', orders.ordered_at) as month, sum(items.quantity * items.price) as revenue, count(distinct orders.id) as orders, count(distinct orders.customer_id) as buyers
from items join orders on orders.id = items.order_id left join customers on customers.id = orders.customer_id group by 1, 2
