"""The management API's endpoints: a module for each subject, each with a table `ROUTES` of what it serves."""
