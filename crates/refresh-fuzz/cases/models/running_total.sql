with payments as (select order_id, amount, paid_at, method from store.payments)
select order_id, paid_at, method, amount, sum(amount) over (partition by order_id order by paid_at nulls last, method nulls last, amount nulls last rows between unbounded preceding and current row) as paid_so_far from payments
