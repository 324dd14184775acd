select
    page,
    count(*) as requests,
    count(distinct visitor) as visitors,
    cast(sum(case when status >= 400 then 1 else 0 end) as bigint) as failures
from silver.requests
group by page
