{% call wrap() %}1{% endcall %}
