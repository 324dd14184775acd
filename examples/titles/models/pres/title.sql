select
    t.title,
    t.people_count,
    count(r.related_title) as related_titles
from store.titles as t
left join pres.related_title as r on r.title = t.title
group by t.title, t.people_count
