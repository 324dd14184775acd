with source as (select * from store.payments)
select order_id, method as payment_method, amount / 100 as amount, paid_at from source where amount is not null
