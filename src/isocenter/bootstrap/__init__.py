"""Settings to Platform, Services, jobs and application."""
