"""The server of the local platform: HTTP at the front (`app.py`, `routes/`), SQLite and files at the back."""
