{{ config(refresh='full') }}
select 1 as x
