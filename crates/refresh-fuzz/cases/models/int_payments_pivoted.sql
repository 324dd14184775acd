with payments as (select * from store.payments)
select order_id, sum(case when method = 'card' then amount else 0 end) as card_amount, sum(case when method = 'voucher' then amount else 0 end) as voucher_amount,
  sum(amount) filter (where method = 'transfer') as transfer_amount, sum(amount) as total_amount
from payments group by order_id
