"""Pages for people: HTML over the same functions as the JSON routes. `routers` puts them together."""
