{{ config(title='Sales by month', formats=['csv', 'parquet'], limit=50) }}
select 1 as one
