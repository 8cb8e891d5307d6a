"""HTML pages for people. Pages call the same functions as the JSON routes. The module `routers` lists all pages."""
