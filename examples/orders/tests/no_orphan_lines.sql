-- Every line belongs to an order. Answers with the lines that do not.
select l.order_no, l.order_line_no
from store.order_lines as l
left join store.order_headers as h on h.order_no = l.order_no
where h.order_no is null
