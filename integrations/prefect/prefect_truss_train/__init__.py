"""Prefect blocks, tasks and flows for Baseten training jobs, to come."""
