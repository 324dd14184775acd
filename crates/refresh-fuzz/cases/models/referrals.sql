with customers as (select * from store.customers)
select referrer.id, referrer.name, count(referred.id) as referred from customers as referrer left join customers as referred on referred.referrer_id = referrer.id group by 1, 2
