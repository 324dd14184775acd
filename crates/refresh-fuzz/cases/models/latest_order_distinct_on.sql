select distinct on (customer_id) customer_id, id as order_id, status from store.orders order by customer_id, ordered_at desc nulls last, id
