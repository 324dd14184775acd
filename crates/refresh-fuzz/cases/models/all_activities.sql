select customer_id, ordered_at as happened_at, 'order' as activity from store.orders union all select customer_id, moment, kind from store.events
union all select orders.customer_id, payments.paid_at, 'payment' from store.payments join store.orders on orders.id = payments.order_id
