with orders as (select * from store.orders), payments as (select * from store.payments)
select orders.id as order_id, orders.status, case when coalesce(sum(payments.amount), 0) >= 1 then 'paid' when count(payments.amount) > 0 then 'partly' else 'open' end as payment_state, max(payments.paid_at) as last_payment
from orders left join payments on payments.order_id = orders.id group by orders.id, orders.status
