"""The platform's pages for a browser: what runs, how it fares, and a few buttons.

A page is HTML that the server renders, and is kept up to date through one stream of events, on which the server sends
the parts that changed. However many pages show a job, it is looked at once per interval (`feeds`).

    access      who may look, and what a page may do
    feeds       one look for all who follow the same thing, as server-sent events
    log_index   any window of a log of millions of lines, with filters
    runs        the attempts of one run, and their curves as one
    views       what pages show, out of the database and the files of jobs
    actions     what buttons do
    routes      which address is answered by what

Pages read the server's parts and call its handlers; the server only mounts them.
"""

from truss_train_core.local.pages.routes import Pages, new_link, routes

__all__ = ["Pages", "new_link", "routes"]
