"""What calls are held against, in the worker's memory: built from rows, and dropped when Postgres tells of a change."""
