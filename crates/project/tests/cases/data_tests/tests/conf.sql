{{ config(severty='warn', severity='wrn') }} select 1
