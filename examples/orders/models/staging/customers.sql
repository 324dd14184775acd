select
    c.document_number,
    c.full_name,
    c.email,
    c.user_name,
    c.country_code,
    n.country_name
from store.customers as c
left join seeds.country as n on n.country_code = c.country_code
