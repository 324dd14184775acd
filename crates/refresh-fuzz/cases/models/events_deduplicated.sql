with source as (select * from store.events),
numbered as (select *, row_number() over (partition by customer_id, kind, page order by moment nulls last, id) as copy from source)
select * exclude (copy) from numbered where copy = 1
