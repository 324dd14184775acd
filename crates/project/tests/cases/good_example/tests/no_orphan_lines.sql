{{ config(severity='warn') }}
select * from {{ ref('order_lines') }} where order_no is null
