with activities as (select customer_id, ordered_at as happened_at, 'order' as activity from store.orders union all select customer_id, moment, kind from store.events)
select customer_id, activity, count(*) as times, max(happened_at) as latest from activities group by 1, 2
