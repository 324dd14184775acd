{{ config(title="The most popular products in the country with the most logins", formats=["csv"], limit=10) }}
with logins as (
    select country_code, country_name, count(*) as logins
    from pres.web_visits
    where is_login and country_code is not null
    group by country_code, country_name
),
busiest as (
    select country_code, country_name
    from logins
    order by logins desc, country_code
    limit 1
)
select
    b.country_name,
    l.product_code,
    l.product_name,
    count(distinct l.customer_document_no) as customers,
    cast(sum(l.quantity) as bigint) as quantity
from pres.report_order_lines as l
join busiest as b on b.country_code = l.customer_country_code
group by b.country_name, l.product_code, l.product_name
order by quantity desc, l.product_code, l.product_name
limit 10
