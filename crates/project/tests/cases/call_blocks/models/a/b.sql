select {{ two(1, b=2) }} {{ two(b=5, a=4) }}
