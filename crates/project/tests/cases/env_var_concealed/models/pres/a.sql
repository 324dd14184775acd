{{ config(materialized=env_var('KIND'), refresh=env_var('SHORT')) }}
select 1 as x
