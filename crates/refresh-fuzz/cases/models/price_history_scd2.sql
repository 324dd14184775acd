with changes as (select distinct product_id, valid_from, price from store.price_changes)
select product_id, valid_from, price, lead(valid_from) over (partition by product_id order by valid_from nulls last, price nulls last) as valid_to from changes
