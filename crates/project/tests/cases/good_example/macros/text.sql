{% macro quoted(text) %}'{{ text }}'{% endmacro %}
