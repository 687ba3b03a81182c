"""Airflow provider for Baseten training jobs. Operators, sensors and triggers are to come."""
