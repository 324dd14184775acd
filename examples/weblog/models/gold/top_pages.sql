select
    page,
    count(*) as requests,
    count(distinct visitor) as visitors,
    sum(case when status >= 400 then 1 else 0 end) as failures
from silver.requests
group by page
