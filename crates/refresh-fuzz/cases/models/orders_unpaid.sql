select orders.id, orders.customer_id from store.orders where status <> 'cancelled' and not exists (select 1 from store.payments where payments.order_id = orders.id)
