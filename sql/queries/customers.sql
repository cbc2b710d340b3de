-- Which customers a read is about, and at which revision of their configuration.

-- name: find_customer_page(search, page_limit, page_offset)^
-- One page of tenants in the order of creation, their revisions and layouts, and how many customers match in all: one
-- statement, so that they agree. search NULL: all; page_limit NULL: no end.
-- Uses customers_created_at (in order, index only) and tenants_pkey; a search reads customers in that order.
SELECT (SELECT count(*) FROM customers AS c
         WHERE :search::text IS NULL OR strpos(lower(c.name), lower(:search)) > 0) AS total_count,
       coalesce(array_agg(page.tenant_id ORDER BY page.created_at, page.id), '{}') AS tenant_ids,
       coalesce(array_agg(page.revision ORDER BY page.created_at, page.id), '{}') AS revisions,
       coalesce(array_agg(page.layout ORDER BY page.created_at, page.id), '{}') AS layouts
  FROM (SELECT c.tenant_id, t.revision, t.layout, c.created_at, c.id::text AS id
          FROM customers AS c JOIN tenants AS t ON t.id = c.tenant_id
         WHERE :search::text IS NULL OR strpos(lower(c.name), lower(:search)) > 0
         ORDER BY c.created_at, c.id
         LIMIT :page_limit::bigint OFFSET :page_offset::bigint) AS page;

-- name: find_customer(customer_id)^
-- The tenant of one customer and its revision, in the columns of find_customer_page; no tenant when there is none.
-- Uses customers_pkey and tenants_pkey.
SELECT count(*) AS total_count,
       coalesce(array_agg(c.tenant_id), '{}') AS tenant_ids,
       coalesce(array_agg(t.revision), '{}') AS revisions,
       coalesce(array_agg(t.layout), '{}') AS layouts
  FROM customers AS c JOIN tenants AS t ON t.id = c.tenant_id
 WHERE c.id = :customer_id::text;

-- name: lock_customer(customer_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses customers_pkey.
SELECT id, name, calendar_aligned, time_zone, max_parallel_requests
  FROM customers WHERE id = :customer_id::text FOR NO KEY UPDATE;

-- name: insert_customer(customer_id, name, calendar_aligned, time_zone, max_parallel_requests, created_at)!
-- Its tenant is made with it (trigger).
-- Uses customers_pkey and customers_name_key.
INSERT INTO customers (id, name, calendar_aligned, time_zone, max_parallel_requests, created_at, updated_at)
VALUES (:customer_id::text, :name::text, :calendar_aligned::boolean, :time_zone::text, :max_parallel_requests::integer,
        :created_at::timestamptz, :created_at);

-- name: update_customer(customer_id, name, calendar_aligned, time_zone, max_parallel_requests)!
-- A changed calendar starts new epochs of its limits (trigger).
-- Uses customers_pkey.
UPDATE customers
   SET name = :name::text, calendar_aligned = :calendar_aligned::boolean, time_zone = :time_zone::text,
       max_parallel_requests = :max_parallel_requests::integer
 WHERE id = :customer_id::text;

-- name: delete_customer(customer_id)!
-- Its teams and virtual keys stay, without a customer (foreign keys); its limits go.
-- Uses customers_pkey.
DELETE FROM customers WHERE id = :customer_id::text;
