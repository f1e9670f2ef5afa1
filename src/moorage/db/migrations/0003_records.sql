-- What a snapshot reads of manifests that were deleted; the table itself is mostly payload.
CREATE INDEX manifests_deleted ON manifests (repository_id, digest, pushed_at, deleted_at)
    WHERE deleted_at IS NOT NULL;
