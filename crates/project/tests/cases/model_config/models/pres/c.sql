{{ config(materialised='view', primary_key=['a', 'a']) }}
select 1 as x
