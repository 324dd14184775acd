select
    p.product_code,
    p.supplier_id,
    p.product_name,
    s.company_name as supplier_name,
    p.default_price
from store.products as p
left join store.companies as s on s.company_id = p.supplier_id
