import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))  # what test files of several rooms share

# A runner in the background starts us with SIGINT ignored, which the commands under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
