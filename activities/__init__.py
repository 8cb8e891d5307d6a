"""Activities: the effects of processes. Each class gets its dependencies by the constructor."""
