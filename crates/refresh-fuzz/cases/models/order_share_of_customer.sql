with orders as (select * from store.orders), items as (select * from store.order_items),
totals as (select order_id, sum(quantity * price) as total from items group by 1),
joined as (select orders.id, orders.customer_id, totals.total from orders left join totals on totals.order_id = orders.id)
select id, customer_id, total, sum(total) over (partition by customer_id) as customer_total, total / nullif(sum(total) over (partition by customer_id), 0) as share from joined
