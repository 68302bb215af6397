"""The HTTP side: Connexion on Flask."""

import warnings

# What Connexion imports is deprecated in other libraries; nobody who starts this server can act on it.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import connexion  # noqa: F401
