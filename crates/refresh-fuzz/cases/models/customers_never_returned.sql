with customers as (select * from store.customers)
select id, name, country from customers where not exists (select 1 from store.orders where orders.customer_id = customers.id and orders.status = 'returned')
