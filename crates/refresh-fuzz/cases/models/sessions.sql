with events as (select * from store.events),
gaps as (select *, lag(moment) over (partition by customer_id order by moment nulls last, id) as previous from events),
numbered as (select *, sum(case when previous is null or moment - previous > interval '30' minute then 1 else 0 end) over (partition by customer_id order by moment nulls last, id rows between unbounded preceding and current row) as session_number from gaps)
select customer_id, session_number, min(moment) as started_at, max(moment) as ended_at, count(*) as events from numbered group by customer_id, session_number
