"""The embedded platform: the management API served on this machine, really running the jobs.

serve.py      run it: hold the data directory, bind the port
server/       answers the API, decides when a job runs, keeps what must be remembered
runner.py     the seam: what a job is, and what runs one
processes/    today's runner: jobs and deployments as processes of this machine, each with a supervisor
joblogs.py, samples.py, statefiles.py   files that the one side writes and the other reads
"""
