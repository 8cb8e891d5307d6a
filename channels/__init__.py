"""Ways to reach people, and what is said on them. Knows neither SQL nor Temporal."""
