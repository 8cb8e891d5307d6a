"""Who decides what and when: parse, validate, evaluate and explain `policy.toml`. No Temporal, no SQL."""
