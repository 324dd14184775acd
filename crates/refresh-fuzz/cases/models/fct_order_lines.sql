with items as (select * from store.order_items), orders as (select * from store.orders), products as (select * from store.products), customers as (select * from store.customers)
select items.id as line_id, orders.id as order_id, orders.status, customers.country, products.category, items.quantity, items.quantity * items.price as total
from items join orders on orders.id = items.order_id left join products on products.id = items.product_id left join customers on customers.id = orders.customer_id
