with source as (select * from store.orders),
renamed as (select id as order_id, customer_id, ordered_at, cast(ordered_at as date) as order_date, coalesce(status, 'unknown') as status, coupon is not null as has_coupon from source)
select * from renamed where status <> 'cancelled'
