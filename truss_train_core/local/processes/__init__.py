"""The runner that runs jobs and deployments as processes of this machine, each owned by a supervisor process.

Nothing in here knows the server or its database: it reads a spec from a directory, and writes down how it fares.
"""
