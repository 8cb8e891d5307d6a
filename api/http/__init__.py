"""HTTP plumbing: middleware, security, problems, schemas."""
