with source as (select * from store.events)
select id as event_id, customer_id, kind as event_kind, moment as happened_at, coalesce(page, '/') as page from source where customer_id is not null
