{# All money is kept in cents. #}
{% macro cents(column) %}round({{ times_hundred(column) }}){% endmacro %}
{% macro times_hundred(column) -%} {{ column }} * 100 {%- endmacro %}
