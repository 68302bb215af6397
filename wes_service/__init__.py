"""WES-TES: a GA4GH WES 1.1 server that runs every workflow step as a GA4GH TES task."""
