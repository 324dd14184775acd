{{ config(refresh='incremental') }}
select 1 as x
