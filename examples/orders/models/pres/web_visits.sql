select
    r.requested_at,
    cast(r.requested_at as date) as visit_date,
    r.user_name,
    c.document_number as customer_document_no,
    r.path,
    r.is_login,
    r.device,
    r.country_code,
    n.country_name
from staging.requests as r
left join staging.customers as c on c.user_name = r.user_name
left join seeds.country as n on n.country_code = r.country_code
