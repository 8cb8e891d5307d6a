"""The policy: parse, validate, evaluate and explain `policy.toml`. No Temporal, no SQL."""
