-- Times are nanoseconds since 1970; values and entries are opaque bytes.

CREATE TABLE process (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  -- Rises each time the file is opened; fences are made of it.
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO process (id, epoch) VALUES (1, 0);

-- Kept by triggers, for the limit and for lists.
CREATE TABLE tenant (
  name TEXT PRIMARY KEY,
  sessions INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  agent TEXT NOT NULL,
  created INTEGER NOT NULL,
  ttl INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  -- The largest integer for never, as while it has work.
  expires INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  message_count INTEGER NOT NULL,
  active_turn TEXT,
  is_paused INTEGER NOT NULL,
  has_work INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  -- The newest entry that the log ever had, and up to which it was trimmed.
  logged INTEGER NOT NULL,
  trimmed INTEGER NOT NULL,
  has_log INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX session_by_name ON session (tenant, name);
CREATE INDEX session_by_update ON session (tenant, updated, name);
CREATE INDEX session_by_agent ON session (tenant, agent, updated, name);
CREATE INDEX session_by_expiry ON session (expires);
CREATE INDEX session_with_work ON session (id) WHERE has_work = 1;
CREATE INDEX session_with_log ON session (updated) WHERE has_log = 1 AND has_work = 0;

CREATE TRIGGER session_begins AFTER INSERT ON session BEGIN
  INSERT INTO tenant (name, sessions) VALUES (new.tenant, 1)
    ON CONFLICT (name) DO UPDATE SET sessions = sessions + 1;
END;
CREATE TRIGGER session_goes AFTER DELETE ON session BEGIN
  UPDATE tenant SET sessions = sessions - 1 WHERE name = old.tenant;
  DELETE FROM tenant WHERE name = old.tenant AND sessions = 0;
END;

CREATE TABLE label (
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  -- The session's, for the index.
  tenant TEXT NOT NULL,
  PRIMARY KEY (session, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_value ON label (tenant, name, value, session);

-- Apart from the sessions, which lists read: these values are large.
CREATE TABLE state (
  session INTEGER PRIMARY KEY REFERENCES session (id) ON DELETE CASCADE,
  value BLOB,
  options BLOB
) STRICT;

CREATE TABLE message (
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (session, position)
) STRICT;

-- A higher id is newer.
CREATE TABLE receipt (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  frame_id TEXT NOT NULL,
  value BLOB NOT NULL,
  UNIQUE (session, frame_id)
) STRICT;

-- A higher id is newer.
CREATE TABLE turn (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  turn_id TEXT NOT NULL,
  ended INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  model TEXT NOT NULL,
  status TEXT NOT NULL,
  stop_reason TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  value BLOB NOT NULL,
  UNIQUE (session, turn_id)
) STRICT;

CREATE TABLE call (
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  turn_id TEXT NOT NULL,
  call_id TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('started', 'finished', 'unknown')),
  at INTEGER NOT NULL,
  PRIMARY KEY (session, turn_id, call_id)
) STRICT, WITHOUT ROWID;

-- One row for the entries of one transaction.
CREATE TABLE log (
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  entries BLOB NOT NULL,
  PRIMARY KEY (session, first)
) STRICT;

CREATE TABLE request (
  tenant TEXT NOT NULL,
  request_id TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  at INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (tenant, request_id)
) STRICT;
CREATE INDEX request_by_time ON request (at);
