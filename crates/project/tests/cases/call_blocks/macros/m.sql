{% macro wrap() %}({{ caller() }}){% endmacro %}{% macro two(a, b=3) %}{{ a }}{{ b }}{% endmacro %}
