{{ config(title="Most read pages", formats=["csv"], limit=10) }}
select page, requests, visitors, failures
from gold.top_pages
order by requests desc, page
limit 10
