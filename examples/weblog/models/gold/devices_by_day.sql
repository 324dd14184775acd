select
    request_date,
    device,
    count(*) as requests,
    count(distinct visitor) as visitors
from silver.requests
group by request_date, device
