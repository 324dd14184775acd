with items as (select * from store.order_items), orders as (select * from store.orders),
changes as (select product_id, valid_from, max(price) as price from store.price_changes where product_id is not null and valid_from is not null group by 1, 2)
select items.id, items.product_id, changes.price as price_then from items join orders on orders.id = items.order_id
asof left join changes on changes.product_id = items.product_id and cast(orders.ordered_at as date) >= changes.valid_from
