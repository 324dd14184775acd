{{ config(tags=['gold'], materialized='table') }}
select l.*, {{ cents('l.amount') }} as cents, '{{ var("currency") }}' as currency
from {{ ref('order_lines') }} l
join {{ source('web', 'titles') }} t using (title)
left join seeds.country c on c.code = l.country
where '{{ target.name }}' <> 'x' -- {{ this }} {{ this.schema }} {{ target.type }}
