"""A page in Airflow's user interface: the loss curve, checkpoints and attempts of a task's training run.

`app` is the page, for those whom Airflow lets read the task. `reading` finds what it shows: the record in Airflow's
database, the rest through the API and the task's connection. `run.html` and `static` are how it looks, in Airflow's own
colours, light and dark.
"""
