with items as (select * from store.order_items), products as (select * from store.products)
select items.*, products.name as product_name, products.category, items.quantity * coalesce(items.price, products.price) as line_total
from items left join products on products.id = items.product_id
