{% macro quoted(a) %}x{% endmacro %}{% macro ref(a) %}x{% endmacro %}
{% macro round_a() %}{{ round_b() }}{% endmacro %}{% macro round_b() %}{{ round_a() }}{% endmacro %}