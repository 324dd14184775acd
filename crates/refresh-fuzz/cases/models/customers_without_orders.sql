select customers.id, customers.name from store.customers left join store.orders on orders.customer_id = customers.id where orders.id is null
