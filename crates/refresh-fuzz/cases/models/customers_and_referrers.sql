select customers.id, customers.name, referrer.name as referrer_name, referrer.country = customers.country as same_country
from store.customers left join store.customers as referrer on referrer.id = customers.referrer_id
