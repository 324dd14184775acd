with orders as (select * from store.orders), payments as (select * from store.payments),
order_payments as (select order_id, sum(case when method = 'card' then amount else 0 end) as card_amount, sum(amount) as amount from payments group by 1),
final as (select orders.id as order_id, orders.customer_id, orders.ordered_at, coalesce(order_payments.amount, 0) as amount, order_payments.card_amount
  from orders left join order_payments on orders.id = order_payments.order_id)
select * from final
