-- What tenants have spent of their budgets.
CREATE TABLE spent (
  tenant TEXT NOT NULL,
  -- How long the period is, and how many of that length were before it since 1970.
  period_ms INTEGER NOT NULL,
  period INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  -- In picodollars.
  cost INTEGER NOT NULL,
  -- When the period after it ends.
  expires INTEGER NOT NULL,
  PRIMARY KEY (tenant, period_ms, period)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_by_expiry ON spent (expires);
