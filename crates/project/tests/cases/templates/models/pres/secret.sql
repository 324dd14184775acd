select '{{ env_var('URL') }}' {{ env_var('OTHER') + 1 }} {{ env_var('OTHER')|int }}
