select * from store.companies
