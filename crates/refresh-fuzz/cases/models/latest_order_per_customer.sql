with orders as (select * from store.orders),
numbered as (select *, row_number() over (partition by customer_id order by ordered_at desc nulls last, id desc) as position from orders)
select id as order_id, customer_id, ordered_at, status from numbered where position = 1
