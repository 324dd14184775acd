select * from store.orders where id in (select order_id from store.order_items group by order_id having sum(quantity) > 3)
