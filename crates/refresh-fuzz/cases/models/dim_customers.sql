with customers as (select * from store.customers), orders as (select * from store.orders), payments as (select * from store.payments),
customer_orders as (select customer_id, min(ordered_at) as first_order, max(ordered_at) as most_recent_order, count(id) as number_of_orders from orders group by customer_id),
customer_payments as (select orders.customer_id, sum(amount) as total_amount from payments left join orders on payments.order_id = orders.id group by orders.customer_id),
final as (select customers.id as customer_id, customers.name, customer_orders.first_order, customer_orders.most_recent_order, customer_orders.number_of_orders, customer_payments.total_amount as lifetime_value
  from customers left join customer_orders on customers.id = customer_orders.customer_id left join customer_payments on customers.id = customer_payments.customer_id)
select * from final
