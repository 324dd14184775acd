select {{ cent('a') }}
