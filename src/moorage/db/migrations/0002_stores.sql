-- What several processes over one object store have to share.

-- The pieces of an upload that is not finished, each one object; with the upload they become the
-- extents of its blob.
CREATE TABLE upload_extents (
    session TEXT COLLATE "C" NOT NULL,
    ordinal BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (session, ordinal)
);

-- Objects that nothing refers to any more, and from when on nobody can still be reading them.
CREATE TABLE garbage (
    key TEXT COLLATE "C" PRIMARY KEY,
    not_before BIGINT NOT NULL
);
CREATE INDEX garbage_by_time ON garbage (not_before);

-- Blobs of several pieces, which want to be joined into one.
CREATE INDEX extents_split ON extents (digest) WHERE ordinal = 1;

-- Keys that every replica signs with.
CREATE TABLE signing_keys (
    name TEXT COLLATE "C" PRIMARY KEY,
    secret BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
