"""HTTP for every service: one client, blocking and awaiting, and one place that decides on retries and errors."""
