"""Settings of all tests."""

from hypothesis import settings

# The same examples on every machine, and no time limit on one of them: a busy machine is no bug.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
