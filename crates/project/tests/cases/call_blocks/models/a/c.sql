{% macro own(x) %}{{ two(x) }}{% endmacro %}{% set y = 7 %}select {{ own(y) }}
