select * from {{ ref('order') }}
join {{ ref('pres.orderz') }} using (a)
join {{ ref("orders") }} using (b)
join {{ source('wbe', 'access') }} using (b)
join {{ source('web', 'acess') }} using (b)
join {{ ref('calendar') }} using (b)
join {{ ref('off') }} using (b)
join {{ ref('store.pres') }} using (b)
join {{ ref('pkg', 'orders') }} using (b)
join {{ ref('order') }} using (same_again)
where x = {{ var('curency') }} and y = {{ env_var('HOM') }} and z = {{ env_var('HOME') }} and w = {{ var('w', 3) }}
