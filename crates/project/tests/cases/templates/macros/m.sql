{% macro cents(a) %}{{ ref('nothing') }} {{ b }}{% endmacro %}
{% macro quoted(a) %}'{{ a }}'{% endmacro %}
