"""What administrators and users decide: classes of service, schedules, handlers; values and pure rules."""
