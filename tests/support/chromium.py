"""The browser of the tests."""

import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
"""Its path; None if there is none. The headless shell is the same Chromium without windows, and each page of it takes
a fraction of the processor time.
"""
MISSING = "Chromium is not here: apt-get install chromium-headless-shell"
