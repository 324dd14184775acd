-- No request is lost on the way from requests to sessions.
select r.requests, s.requests as requests_of_sessions
from (select count(*) as requests from silver.requests) as r
cross join (select cast(coalesce(sum(requests), 0) as bigint) as requests from silver.sessions) as s
where r.requests <> s.requests
