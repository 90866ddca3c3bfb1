"""The schema's history, run by store.schema."""
