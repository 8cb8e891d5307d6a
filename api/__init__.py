"""The gateway: answers HTTP requests and sends messages to Temporal.

`routes/` has the JSON API, `pages/` the HTML pages.
"""
