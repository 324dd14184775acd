with orders as (select * from store.orders), items as (select * from store.order_items),
totals as (select order_id, sum(quantity) as pieces, sum(quantity * price) as total, count(*) as lines from items group by 1)
select orders.*, totals.pieces, coalesce(totals.total, 0) as total, totals.lines from orders left join totals on totals.order_id = orders.id
