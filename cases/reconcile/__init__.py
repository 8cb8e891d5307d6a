"""Jobs of the worker that look for what a program left undone when it died, or others changed."""
