select customers.id, latest.kind, latest.moment from store.customers
left join lateral (select kind, moment from store.events where events.customer_id = customers.id order by moment desc nulls last, id limit 1) as latest on true
