-- Teams.

-- name: list_team_ids(customer_id, search, page_limit, page_offset)
-- The ids of one page of teams in the order of creation, each with how many match in all. NULL: not asked for.
-- Uses teams_created_at or teams_customer.
SELECT id, count(*) OVER () AS total_count
  FROM teams
 WHERE (:customer_id::text IS NULL OR customer_id = :customer_id)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0)
 ORDER BY created_at, id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_teams(customer_id, search)$
-- How many match, for a page beyond the last.
-- Uses teams_created_at or teams_customer.
SELECT count(*) FROM teams
 WHERE (:customer_id::text IS NULL OR customer_id = :customer_id)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0);

-- name: lock_team(team_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses teams_pkey.
SELECT id, customer_id, name, calendar_aligned, time_zone, max_parallel_requests
  FROM teams WHERE id = :team_id::text FOR NO KEY UPDATE;

-- name: insert_team(team_id, customer_id, name, calendar_aligned, time_zone, max_parallel_requests, created_at)!
-- Without a customer it is the root of a tenant of its own (trigger).
-- Uses teams_pkey and teams_name_key.
INSERT INTO teams (id, customer_id, name, calendar_aligned, time_zone, max_parallel_requests, created_at, updated_at)
VALUES (:team_id::text, :customer_id::text, :name::text, :calendar_aligned::boolean, :time_zone::text,
        :max_parallel_requests::integer, :created_at::timestamptz, :created_at);

-- name: update_team(team_id, customer_id, name, calendar_aligned, time_zone, max_parallel_requests)!
-- Another customer moves the team with all below it (triggers).
-- Uses teams_pkey.
UPDATE teams
   SET customer_id = :customer_id::text, name = :name::text, calendar_aligned = :calendar_aligned::boolean,
       time_zone = :time_zone::text, max_parallel_requests = :max_parallel_requests::integer
 WHERE id = :team_id::text;

-- name: delete_team(team_id)!
-- Its virtual keys stay, without a team (foreign key); its limits go.
-- Uses teams_pkey.
DELETE FROM teams WHERE id = :team_id::text;
