{{ config(title="Titles that most others are related to", formats=["csv", "json"], limit=10) }}
select
    related_title,
    count(*) as titles
from pres.related_title
group by related_title
order by titles desc, related_title
limit 10
