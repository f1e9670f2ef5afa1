-- works with: 0003
-- The history of a tag apart from its present: however often a tag has moved, finding where it is now
-- never meets the rows that are closed.

CREATE INDEX tags_closed ON tags (repository_id, name, started_at) WHERE ended_at IS NOT NULL;
DROP INDEX tags_history;
