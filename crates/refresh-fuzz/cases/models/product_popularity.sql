with products as (select * from store.products), items as (select * from store.order_items)
select products.id as product_id, products.name, count(items.id) as lines, coalesce(sum(items.quantity), 0) as pieces
from products left join items on items.product_id = products.id group by products.id, products.name
