select * from pres.report_order_lines
