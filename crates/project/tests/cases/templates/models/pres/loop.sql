select {{ round_a() }}
