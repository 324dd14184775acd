with events as (select * from store.events),
gaps as (select *, lag(moment) over (partition by customer_id order by moment nulls last, id) as previous from events),
flagged as (select *, case when previous is null or moment - previous > interval '30' minute then 1 else 0 end as is_new from gaps),
numbered as (select *, sum(is_new) over (partition by customer_id order by moment nulls last, id rows between unbounded preceding and current row) as session_number from flagged)
select id as event_id, customer_id, session_number, moment, kind from numbered
