with source as (select * from store.customers),
renamed as (select id as customer_id, trim(name) as customer_name, upper(country) as country, signed_up, date_trunc('month', signed_up) as signed_up_month from source)
select * from renamed
