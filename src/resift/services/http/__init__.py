"""HTTP for every service: one client, blocking and async, and one place that decides on retries and errors."""
