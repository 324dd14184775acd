with events as (select * from store.events)
select cast(moment as date) as day, count(distinct customer_id) filter (where kind = 'view') as viewers, count(distinct customer_id) filter (where kind = 'cart') as carters, count(distinct customer_id) filter (where kind = 'purchase') as buyers
from events group by all
