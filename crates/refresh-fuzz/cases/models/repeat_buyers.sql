with orders as (select * from store.orders)
select customers.id, customers.name, (select count(*) from orders where orders.customer_id = customers.id) as orders from store.customers where (select count(*) from orders where orders.customer_id = customers.id) > 1
