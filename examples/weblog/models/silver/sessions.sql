-- A session is a visitor's requests with no gap longer than `session_gap`.
with gaps as (
    select
        visitor,
        requested_at,
        page,
        device,
        country,
        case
            when requested_at - lag(requested_at) over (partition by visitor order by requested_at)
                 <= interval '{{ var("session_gap") }}' then 0
            else 1
        end as starts
    from silver.requests
),
numbered as (
    select
        visitor,
        requested_at,
        page,
        device,
        country,
        sum(starts) over (
            partition by visitor order by requested_at range between unbounded preceding and current row
        ) as session_no
    from gaps
)
select
    visitor,
    cast(session_no as bigint) as session_no,
    min(requested_at) as started_at,
    max(requested_at) as ended_at,
    count(*) as requests,
    count(distinct page) as pages,
    min(device) as device,
    min(country) as country
from numbered
group by visitor, session_no
