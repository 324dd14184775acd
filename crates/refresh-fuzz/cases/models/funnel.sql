with events as (select * from store.events),
steps as (select customer_id, min(case when kind = 'view' then moment end) as viewed_at, min(case when kind = 'cart' then moment end) as carted_at, min(case when kind = 'purchase' then moment end) as bought_at from events group by customer_id)
select customer_id, viewed_at is not null as viewed, carted_at > viewed_at as carted, bought_at > carted_at as bought from steps
