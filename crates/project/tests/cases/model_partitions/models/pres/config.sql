{{ config(partition_by='range(d, quartr)', retention='2 yeers') }}
select 1 as id, current_date as d
