with products as (select * from store.products), items as (select * from store.order_items),
sold as (select product_id, sum(quantity) as pieces from items group by 1),
joined as (select products.*, sold.pieces from products left join sold on sold.product_id = products.id),
ranked as (select *, row_number() over (partition by category order by pieces desc nulls last, id) as place from joined)
select category, id as product_id, name, pieces from ranked where place <= 2
