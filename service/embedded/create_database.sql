-- Fed to a single-user Postgres while its data folder is being made, so that a finished folder has the database.
CREATE DATABASE governance;
