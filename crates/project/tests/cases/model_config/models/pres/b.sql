{{ config({'materialized': 'view', 'primary_key': ['a', 'b']}) }}
select 1 as x
