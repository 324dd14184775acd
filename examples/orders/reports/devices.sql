{{ config(title="The five most used devices", formats=["csv"]) }}
select
    device,
    count(*) as requests,
    count(distinct user_name) as users
from pres.web_visits
group by device
order by requests desc, device
limit 5
