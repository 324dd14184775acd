with sold as (select product_id, sum(quantity) as pieces from store.order_items group by 1), prices as (select product_id, count(*) as changes from store.price_changes group by 1)
select coalesce(sold.product_id, prices.product_id) as product_id, sold.pieces, prices.changes from sold full join prices on prices.product_id = sold.product_id
