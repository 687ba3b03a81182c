"""Airflow provider for Baseten training jobs: it waits without a worker, and never submits twice.

    hooks.py        BasetenHook: a client from a connection
    operators/      submit, train, choose, deploy, promote, stop
    decorators.py   @task.training_job
    sensors.py      wait for somebody else's job, checkpoint or deployment
    triggers.py     the waits of all of these, without a worker
    assets.py       new checkpoints and dataset versions as asset events
    lineage.py      what came of what, for OpenLineage and for outlets
    log_place.py    how far a job's log has been shown, for the next triggerer
    links.py        the way from a task to Baseten's pages
    plugin.py       the tab "Training run" of every task; the page is run_page/
    task_run.py     the record of a run in Airflow's task state, and what a retry or a clear makes of it
    airflow_side.py what this package asks of Airflow: a task's state, its tries, its log
    provider.py     what Airflow is told of all this

Modules that DAG files import load `airflow.sdk` and no more; the core is loaded when a task runs.
"""

__version__ = "0.1.0"
