select customer_id, id as order_id, status from store.orders qualify row_number() over (partition by customer_id order by ordered_at desc nulls last, id) = 1
