select * from store.payments
