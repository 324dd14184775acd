{% for country in var('countries') -%}
select '{{ country }}' as country, count(*) as n from store.order_lines where country = {{ quoted(country) }}
{%- if not loop.last %}
union all
{% endif %}
{%- endfor %}
