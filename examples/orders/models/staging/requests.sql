-- Requests of people: robots and failures of the server are left out.
select
    user_name,
    requested_at,
    method,
    path,
    status,
    device,
    country as country_code,
    method = 'POST' and path = '/login' and status = 302 as is_login
from store.access
where device <> 'bot' and status < 500
