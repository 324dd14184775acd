select
    order_no,
    order_line_no,
    product_code,
    supplier_id,
    quantity,
    unit_price,
    cast(quantity * unit_price as decimal(18, 2)) as amount
from store.order_lines
