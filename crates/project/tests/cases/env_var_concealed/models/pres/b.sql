select {{ ref(env_var('LONGER')) }}
