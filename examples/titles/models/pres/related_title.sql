-- One row for each title and title related to it.
select distinct
    t.title,
    trim(r.related_title) as related_title
from store.titles as t
cross join unnest(t.related_titles) as r (related_title)
where trim(r.related_title) <> ''
