select distinct order_id, method, amount from store.payments
