"""The HTTP side: handlers, forms, errors, and Connexion around them."""

import warnings

with warnings.catch_warnings():
    # Connexion uses what its libraries have deprecated, and says so on every start; it is not ours to mend.
    warnings.simplefilter("ignore")
    import connexion  # noqa: F401
