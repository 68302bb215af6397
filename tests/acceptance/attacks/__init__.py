"""A suite that plays the attacker: hostile workflows of all four languages beside a run that must stay unharmed."""
