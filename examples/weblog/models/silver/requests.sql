-- Pages that people asked for, without what a browser fetches by itself.
select
    coalesce(user_name, ip || ' ' || coalesce(user_agent, '')) as visitor,
    ip,
    user_name,
    requested_at,
    cast(requested_at as date) as request_date,
    split_part(path, '?', 1) as page,
    status,
    device,
    browser,
    country
from bronze.access
where device <> 'bot'
  and method = 'GET'
  and path not like '/assets/%'
  and path <> '/favicon.ico'
