-- What each booked event costs Postgres: the totals of meters and the sums of days are changed in place, without touching
-- an index, as those of hours are.

-- A tree of the instants of last changes had to be changed with each change of a total, and with it the primary key: no
-- update could stay within its page. A summary of block ranges does not stand in the way of that (Postgres 16 and newer).
-- It is asked for what changed within the last seconds, which is in few ranges, or in all if all is in use.
DROP INDEX meter_windows_updated_at;
CREATE INDEX meter_windows_updated_at ON meter_windows
    USING brin (updated_at) WITH (pages_per_range = 16, autosummarize = on);

-- Room in each page for the next version of its rows; where a page is full already, once its dead rows are gone.
ALTER TABLE meter_windows SET (fillfactor = 80);
ALTER TABLE usage_daily SET (fillfactor = 80);
