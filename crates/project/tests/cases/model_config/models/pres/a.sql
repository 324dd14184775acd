{{ config(materialized='incremental', unique_key='id', tags='x', refresh=3) }}
select 1 as x
{% if is_incremental() %} where false {% endif %}
