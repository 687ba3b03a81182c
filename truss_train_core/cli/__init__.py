"""The command line, `truss-train …`: thin over the other rooms, which it imports when a command runs.

main.py             the list of commands; an error becomes an exit code
failures.py         what is said of an error, which exit code it has, what Ctrl-C leaves running
options.py          options that several commands share
output.py           text and JSON: what goes to stdout, what to stderr
connection.py       the client of a command
config_files.py     reading a config.py, telling what travels with a job

init.py, push.py, run.py, resume.py, change.py, deploy.py         the commands: train and deploy
jobs.py, watch.py, checkpoints.py, capacity.py                    look, wait and stop
files.py                                                          take files home
sessions.py                                                       work inside of a job
local.py                                                          the platform on this machine

asking.py           questions, where somebody sits at a terminal; wizard.py asks for a deployment
progress.py         events as lines: for people, and as JSON
logs.py             log lines on a console
run_view.py         the live picture of a run; gauge.py reads the metrics for it
jobs_view.py        the live table of jobs
record_file.py      the file that keeps a run's record
"""
