{{ config(format='xls', limit='x') }}select 1
