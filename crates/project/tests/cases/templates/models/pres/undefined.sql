select 1,
  {{ colum }} as x
