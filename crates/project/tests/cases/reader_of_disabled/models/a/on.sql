select * from {{ ref("off") }}
