select {{ quoted('a', 'b') }}
